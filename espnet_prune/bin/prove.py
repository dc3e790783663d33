#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Prove that a deployed directory says what its model says in ESPnet.

Compares every ONNX file with the model that it was made of (at 1, 5, 20 and 35 s, in
padded batches, on silence and with an offset; decoders token by token), int8 with fp32,
masked with cut at random structures, and writes deploy.json: differences, sizes, times,
versions and hashes. Exits with 2 if a file differs.

Where torch is not installed, or with --recorded, it checks that all files are those of
deploy.json and give what was recorded where they were proven.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import List, Optional

from espnet_prune.runtime.check import PROOF, check
from espnet_prune.runtime.package import inner_folders
from espnet_prune.utils import UserError, command_parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("directory", help="what deploy has written")
    where = "the model that it was made of, if that is elsewhere now: as for deploy"
    parser.add_argument("--model", help=where)
    where = "data directory, wav.scp, folder of audio files, or audio file, whose "
    where += "texts by the files and by ESPnet are compared, too"
    parser.add_argument("--audio", help=where)
    parser.add_argument(
        "--recorded", action="store_true", help="check hashes and recorded outputs only"
    )
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    out = Path(args.directory)
    if not (out / "config.json").is_file():
        raise UserError(
            f"{out}: has no config.json; give a directory that deploy wrote"
        )
    inner = [out / name for name in inner_folders(out)]
    here = all(importlib.util.find_spec(name) for name in ("torch", "espnet2"))
    for folder in [out, *inner]:
        if args.recorded or not here:
            for name, share in check(folder).items():
                print(f"{folder}: {name} as recorded: {share:.1e} of the largest value")
            print(f"{folder}: all files are those of {PROOF}")
            continue
        from espnet_prune.deploy.proof.again import prove_again

        for line in prove_again(folder, args.model, args.audio):
            print(f"{folder}: {line}")


if __name__ == "__main__":
    run_main(main)
