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
from typing import Any, Dict, List, Mapping, Optional

from espnet_prune.tasks import add_argument
from espnet_prune.utils import UserError, run_main, setup_logging, sha256


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--model_config", required=True, help="config.yaml")
    parser.add_argument("--model_file", required=True, help="checkpoint")
    add_argument(parser)
    parser.add_argument("--output_dir", required=True)
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


def table(report: Mapping[str, Any]) -> str:
    """Return the similarity of each block's input and output, for people."""
    values = report["input_output"]
    lines = [
        f"{report['measure']} of {report['samples']} samples "
        f"({report['mode']} mode, {report['utterances']} utterances)",
        "",
        "block  similarity of input and output",
        *(f"{i:>5}  {value:.4f}" for i, value in enumerate(values, 1)),
        "",
        f"most alike first: {', '.join(map(str, report['most_alike']))}",
        f"written: {report['matrix_file']}, {report['image_file']}",
    ]
    return "\n".join(lines)


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    for name in ("num_utts", "batch_size", "max_samples"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1")
    setup_logging()
    import torch

    from espnet_prune import __version__
    from espnet_prune.measure.similarity import measure_model, save_matrix
    from espnet_prune.models import load_model
    from espnet_prune.report.heat_map import heat_map

    torch.set_flush_denormal(True)
    model, config = load_model(args.model_config, args.model_file, args.task)
    try:
        model.to(args.device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {args.device} is not there: {error}") from error
    options: Dict[str, Any] = {}
    if args.measure == "dc2":
        options = {"batch_size": args.dc2_batch_size, "iterations": args.dc2_iterations}
    matrix, about = measure_model(
        model,
        config,
        measure=args.measure,
        mode=args.mode,
        num_utts=args.num_utts,
        max_samples=args.max_samples,
        batch_size=args.batch_size,
        seed=args.seed,
        data=args.data,
        options=options,
    )
    output_dir = Path(args.output_dir)
    name = f"similarity_{args.measure}"
    provenance = {
        **about,
        "model_file": str(args.model_file),
        "model_sha256": sha256(args.model_file),
        "versions": {"espnet_prune": __version__, "torch": torch.__version__},
    }
    matrix_file, image = output_dir / f"{name}.npz", output_dir / f"images/{name}.png"
    save_matrix(matrix_file, matrix, **provenance)
    heat_map(matrix, image, label=f"{args.measure} ({args.mode})")
    values = matrix.diagonal(1).tolist()
    report = {
        **provenance,
        "input_output": values,
        "most_alike": sorted(range(1, len(matrix)), key=lambda i: -values[i - 1]),
        "matrix_file": str(matrix_file),
        "image_file": str(image),
    }
    print(json.dumps(report) if args.json else table(report))


if __name__ == "__main__":
    run_main(main)
