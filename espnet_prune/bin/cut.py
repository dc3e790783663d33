#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Cut a model to the result of a selection, check it, and write it.

Reads structure.json and masks.pth (and weights.pth, if the selection trained) from
--select_dir. Writes config.yaml, model.pth, structure.json, cost.json and verify.json
to --output_dir, or nothing if the model that was written does not equal the masked one.
Both run in float64, with the same batch norm statistics.
"""

import argparse
from typing import List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_argument(parser)
    parser.add_argument("--select_dir", required=True, help="result of select")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument(
        "--trials", type=int, default=16, help="random batches of the equality check"
    )
    parser.add_argument(
        "--refresh_batches",
        type=int,
        default=50,
        help="draws of 8 training utterances for the batch norm "
        "statistics, which are kept as they are with 0, or if the loss on the "
        "development data gets worse, or without such data (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the check and of what is drawn"
    )
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = with_model(get_parser().parse_args(cmd))
    setup_logging()
    from espnet_prune.cutting.write import run

    run(args)


if __name__ == "__main__":
    run_main(main)
