#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Measure how alike the layers of an encoder are, on audio without labels.

A block whose input and output are alike changes little; the table lists that for every
block. Writes OUTPUT_DIR/similarity_MEASURE.npz, the similarity of all layers with all,
and a picture of it in OUTPUT_DIR/images/.

    svcca  canonical correlation of the main directions; needs more samples than
           the encoder has dimensions, better 5 to 10 times as many
    cka    linear centred kernel alignment
    dc     distance correlation
    dc2    its square, averaged over batches as in the public code of CoMFLP
"""

import argparse
import json
from pathlib import Path
from typing import List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import UserError, command_parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__, allow_abbrev=False)
    add_model(parser)
    add_argument(parser)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument(
        "--measure",
        choices=["svcca", "cka", "dc", "dc2"],
        default="svcca",
        help="see above (default: %(default)s)",
    )
    parser.add_argument(
        "--mode",
        choices=["utterance", "frame"],
        default="frame",
        help="a sample is the mean of an utterance, or a frame (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        action="append",
        metavar="PATH,speech,TYPE",
        help="audio as in ESPnet's data_path_and_name_and_type, e.g. "
        "dump/raw/train/wav.scp,speech,sound; may be given several times "
        "(default: the training data of the model's config)",
    )
    parser.add_argument(
        "--num_utts",
        type=int,
        default=320,
        help="utterances to draw; all, if there are fewer (default: %(default)s)",
    )
    parser.add_argument(
        "--max_samples",
        type=int,
        help="frames to draw in frame mode (default: 10000, of dc 4000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument(
        "--batch_size",
        type=int,
        default=1,
        help="utterances encoded at once, only such of exactly one length, so that "
        "there is no padding (default: %(default)s)",
    )
    parser.add_argument(
        "--dc2_batch_size", type=int, default=32, help="(default: %(default)s)"
    )
    parser.add_argument(
        "--dc2_iterations", type=int, default=10, help="(default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = vars(with_model(get_parser().parse_args(cmd)))
    for name in ("num_utts", "batch_size", "max_samples"):
        if args[name] is not None and args[name] < 1:
            raise UserError(f"--{name} must be at least 1")
    setup_logging()
    import torch

    from espnet_prune.report.similarity import table, write_similarity

    torch.set_flush_denormal(True)
    as_json, names = args.pop("json"), ("batch_size", "iterations")
    options = {name: args.pop(f"dc2_{name}") for name in names}
    args["options"] = options if args["measure"] == "dc2" else {}
    report = write_similarity(**args)
    print(json.dumps(report) if as_json else table(report))


if __name__ == "__main__":
    run_main(main)
