#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Split the utterances of several sets over parallel jobs, and collect the results.

`split` writes OUT/logdir/{wav.scp,keys.N.scp}, all sets in one list so that starting
a decoder is paid once per job and not once per job and set; with --by_set it writes
OUT/logdir/SET.N.scp instead. It prints the number of jobs, which is at most the number
of utterances. `collect` writes OUT/SET/{text,token,token_int,score} as asr.sh does.
Where DUMPDIR/org/SET is there, it is the whole set, and is decoded; --by_set, which is
for statistics, takes DUMPDIR/SET, the set of training. `kind` prints how ESPnet
reads the audio, sound or kaldi_ark; with --model_config it must be as in the training.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.jobs import utterances
from espnet_prune.utils import command_parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("action", choices=["split", "kind", "collect"])
    parser.add_argument("--dumpdir", type=Path, required=True, help="holds SET/wav.scp")
    parser.add_argument("--sets", type=str.split, required=True, help="quoted list")
    parser.add_argument("--nj", type=int, default=1, help="number of jobs")
    parser.add_argument("--by_set", action="store_true", help="see above")
    parser.add_argument("--output_dir", type=Path, help="for split and collect")
    parser.add_argument("--model_config", type=Path, help="for kind")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    given = (args.dumpdir, args.sets)
    if args.action == "kind":
        print(utterances.kind(*given, args.model_config))
    elif args.output_dir is None:
        parser.error("the following arguments are required: --output_dir")
    elif args.action == "split":
        print(utterances.split(*given, args.output_dir, args.nj, args.by_set))
    else:
        utterances.collect(*given, args.output_dir)


if __name__ == "__main__":
    run_main(main)
