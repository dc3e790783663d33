#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write some sizes of a model from one calibration, and say what each is worth.

    sizes --model exp/asr_x --audio some/speech --kind macs --output_dir sizes
    sizes --output_dir sizes --target 42%macs

The first calibrates as `quick` does, and writes ten sizes, each an ESPnet experiment in
sizes/sizes/, with sizes.md, sizes.json and sizes.png: error over parameters, MACs and
milliseconds. The second writes any other size above the smallest in seconds, also into
a directory of `quick`. Nothing is trained.
"""

import argparse
from typing import List, Optional

from espnet_prune.bin.quick import add_options
from espnet_prune.utils import command_parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--model", help="as of `quick`")
    add("--audio", help="as of `quick`")
    add("--output_dir", required=True)
    add("--kind", choices=("params", "macs", "ms"), default="params", help="the axis")
    add("--points", type=int, default=10, help="how many (default: 10)")
    add("--target", help="one more size into --output_dir, without calibrating")
    add_options(parser)
    parser.set_defaults(recover=None)
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from espnet_prune.progress import tell_less
    from espnet_prune.quick.sizes import sizes

    tell_less()
    sizes(args)


if __name__ == "__main__":
    run_main(main)
