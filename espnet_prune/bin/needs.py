# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Say what a configuration needs of the recipe: words, for its shell to read.

similarity  that of the layers (stage 14)
data        that of the dense model, for a training
teacher     the dense model beside a training
"""

import argparse
from typing import Optional, Sequence

from espnet_prune.select.conf import needs_of_recovery, needs_of_selection
from espnet_prune.utils import command_parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--prune_config", help="YAML of a selection")
    which.add_argument("--recover_config", help="YAML of a recovery")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    if args.prune_config is not None:
        print(*needs_of_selection(args.prune_config))
    else:
        print(*needs_of_recovery(args.recover_config))


if __name__ == "__main__":
    run_main(main)
