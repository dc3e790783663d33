#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Report a pruning run: one table of the dense, the cut and the recovered model.

Writes RESULTS.md (in ESPnet's form), report.json, report.html and images/ to PRUNE_EXP
and prints the table. The encoders are timed here, in turns and on one thread.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.utils import UserError, command_parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("--dense_exp", type=Path, required=True)
    parser.add_argument("--prune_exp", type=Path, required=True)
    parser.add_argument("--model", default="valid.acc.ave.pth", help="checkpoint")
    parser.add_argument(
        "--decode",
        default="decode_asr_asr_model_valid.acc.ave",
        help="name of the decoding directories; rates are left out where there is none",
    )
    parser.add_argument("--output_dir", type=Path, help="default PRUNE_EXP")
    parser.add_argument(
        "--frames",
        type=int,
        help="input frames for GMACs and time (default: what the model makes of 10 s)",
    )
    parser.add_argument("--runs", type=int, default=15, help="timed runs per encoder")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    words = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(words)
    if (args.frames is not None and args.frames < 20) or args.runs < 1:
        raise UserError("--frames must be at least 20 and --runs at least 1")
    from espnet_prune.report.run import write_report

    args.output_dir = args.output_dir or args.prune_exp
    command = shlex.join(["python3", "-m", "espnet_prune.bin.report", *words])
    print(write_report(**vars(args), command=command))
    print(f"\nwritten: {args.output_dir}/RESULTS.md, report.json, report.html, images/")


if __name__ == "__main__":
    run_main(main)
