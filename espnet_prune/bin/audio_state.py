#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Print a hash of data: of Kaldi tables, and of the audio files that they name.

DATA is a data directory (its wav.scp, segments, text and utt2num_samples), a table, or
the config.yaml of a model, which names the tables of its training. Of every audio file
the size and the time of its last change count, so that other recordings at the same
paths are noticed. What is missing counts as missing.
"""

from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.data.state import digest
from espnet_prune.utils import command_parser, run_main


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = command_parser(__doc__)
    parser.add_argument("data", type=Path, nargs="*", metavar="DATA")
    parser.add_argument(
        "--root", type=Path, default=Path(), help="paths in wav.scp are relative to it"
    )
    parser.add_argument(
        "--without_times",
        action="store_true",
        help="for what ESPnet has formatted, which changes the times of all files",
    )
    args = parser.parse_args(cmd)
    print(digest(args.data, args.root, not args.without_times))


if __name__ == "__main__":
    run_main(main)
