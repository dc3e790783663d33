#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write the section `model` of an espnet3 training that goes on from a model.

    espnet-prune espnet3 --model small --output conf/model/small.yaml

The tokens go to small_tokens.txt beside it. In conf/training.yaml of a recipe of egs3

    defaults: [{model: small}]
    task: espnet_prune.train.task.PruneASRTask

then begins with the weights of the model, cut or dense; see docs/espnet3.md.
"""

import argparse
from pathlib import Path
from typing import List, Optional

from espnet_prune.utils import command_parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("--model", required=True, help="as of `quick`")
    parser.add_argument("--teacher", help="a model to learn from, as of `quick`, too")
    parser.add_argument("--output", type=Path, required=True, help="conf/model/X.yaml")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from espnet_prune.source import find_model
    from espnet_prune.train.section import write_section

    place = args.output.absolute().with_suffix("")
    teacher = find_model(args.teacher, place) if args.teacher else None
    write_section(find_model(args.model, place), teacher, args.output)


if __name__ == "__main__":
    run_main(main)
