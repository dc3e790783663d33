#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Prove that masking and cutting a model are the same function.

Draws random structures with random soft masks, runs every stack of the masked and of
the cut model (encoder, decoder, joint network) on random lengths and paddings, and
compares formula and counted parameters. Exits with 2 if any of them differ. Both run in
float64; the difference is relative to the largest output.
"""

import argparse
from typing import List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_argument(parser)
    parser.add_argument("--structures", type=int, default=10, help="how many to draw")
    parser.add_argument("--keep", type=float, default=0.5, help="mean share kept")
    parser.add_argument("--trials", type=int, default=4, help="batches per structure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="write JSON to this file")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = with_model(get_parser().parse_args(cmd))
    from espnet_prune.cutting.trials import run

    run(args)


if __name__ == "__main__":
    run_main(main)
