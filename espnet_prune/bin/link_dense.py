#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make a model that was trained elsewhere usable here; print its sentencepiece model.

ESPnet's config.yaml names data, statistics and token lists relative to the directory of
the training. What is missing here and exists there is linked, at the first folder that
is missing: dump, data, exp/asr_stats_x. Nothing that exists here is touched, and the
folder of the experiments is not linked, results are written there.

With --unpack, only the directory of a model is printed that comes in another form: what
`quick` takes, unpacked below UNPACK.

With --views, a model that is not ours gets a directory VIEWS/NAME here, for what is
written about it: a config.yaml that names the model's own files where they are, and a
link to the checkpoint that is taken. That is so if the model lies outside the current
directory or cannot be written, its checkpoint has another name, or data of our own are
given for it. Printed before are then the directory to use and the type of its tokens.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.data.dense import OwnData, link_files, view
from espnet_prune.model_files import own_files
from espnet_prune.utils import command_parser, read_mapping, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("config", help="config.yaml of an ASR model")
    parser.add_argument("--unpack", type=Path, help="see above")
    parser.add_argument("--views", type=Path, help="see above")
    parser.add_argument("--model", help="name of the checkpoint")
    group = parser.add_argument_group("Data of our own")
    group.add_argument("--train_dir", type=Path, help="has wav.scp and text")
    group.add_argument("--valid_dir", type=Path)
    group.add_argument("--stats_dir", type=Path, help="of stage 10")
    group.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging("WARNING")
    if args.unpack is not None:
        from espnet_prune.source import find_directory

        print(find_directory(args.config, args.unpack))
        return
    args.config = Path(args.config)
    config = read_mapping(args.config)
    if args.train_dir is None:
        link_files(config, args.config, args.views.parents if args.views else ())
    if args.views is not None:
        data = None
        if args.train_dir is not None:
            data = OwnData(args.train_dir, args.valid_dir, args.stats_dir, args.fs)
        print(view(args.config, config, args.views, args.model, data))
        print(config.get("token_type"))
    if config.get("token_type") == "bpe" and config.get("bpemodel"):
        print(own_files(config, args.config)["bpemodel"])


if __name__ == "__main__":
    run_main(main)
