#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rate of a model without some of its blocks, for each line of a list.

A line of --sets names the blocks to leave out, 1-based, e.g. "2,4-6"; an empty line is
the whole model. Writes a table; called again it goes on where it was.
"""

import argparse
import logging
from pathlib import Path
from typing import List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.utils import command_parser, read_utf8, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add_model(parser)
    parser.add_argument("--sets", required=True, help="list of blocks to leave out")
    parser.add_argument("--output", required=True, help="table (TSV)")
    parser.add_argument(
        "--eval_data_path_and_name_and_type",
        action="append",
        help="as in ESPnet; default: the validation data of the model's config",
    )
    parser.add_argument(
        "--metric", choices=("wer", "cer"), default="wer", help="of greedy decoding"
    )
    parser.add_argument(
        "--of",
        choices=("encoder", "decoder"),
        default="encoder",
        help="whose blocks: judged by greedy CTC, or by the attention decoder alone",
    )
    parser.add_argument(
        "--max_utts", type=int, default=320, help="utterances, evenly spaced"
    )
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = with_model(get_parser().parse_args(cmd))
    setup_logging()
    import torch

    from espnet_prune.data.speech import parse_entries
    from espnet_prune.models import load_model
    from espnet_prune.select.layers.attention import make_evaluator
    from espnet_prune.units.blocks import parse_blocks

    torch.set_flush_denormal(True)
    sets = [parse_blocks(line) for line in read_utf8(args.sets).splitlines()]
    model, config = load_model(args.model_config, args.model_file)
    evaluator = make_evaluator(
        model,
        config,
        args.model_file,
        Path(args.output),
        parse_entries(args.eval_data_path_and_name_and_type),
        metric=args.metric,
        max_utts=args.max_utts,
        of=args.of,
    )
    evaluator.evaluate(sets)
    logging.info(
        f"{len(sets)} sets, {evaluator.blocks_run} blocks run, "
        f"{evaluator.blocks_naive} without the cache"
    )


if __name__ == "__main__":
    run_main(main)
