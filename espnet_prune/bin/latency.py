#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Measure what the units of an encoder take here, for budgets in milliseconds.

Writes latency.json into --output_dir, or the file of --latency, and shows it; a table
that is there already is only shown. With --runtime torch random structures of the model
run for --max_seconds, each with a clock at every module; memory is kept between the
runs. With onnx or onnx_int8 small pieces of the encoder are written as ONNX and timed.
On one thread times are CPU times. What stands in the table:

    front: once                          the front end, however many channels it has
    front: a[0] x a[1]                   every pair of channels of two convolutions
    blocks: module of linear_units       a module that is there, however wide (overhead)
    blocks: linear_units                 every unit in it (slope)

A selection finds it by --latency, or by `budget: {kind: ms, latency: FILE, ...}`.

Where there is no torch: --export DIR only writes the pieces, and what times them.
Copy DIR to the device, run `python DIR/measure.py` there, which needs numpy and
onnxruntime, bring DIR/measured.json back, and give it as --measured.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import List, Optional

from espnet_prune.measure.latency_table import RUNTIMES, TORCH
from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import UserError, command_parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__, allow_abbrev=False)
    add = parser.add_argument
    add_model(parser, what="its checkpoint; times do not depend on the weights")
    add_argument(parser)
    add("--output_dir", help="directory of latency.json")
    add("--latency", help="the file, instead")
    add(
        "--runtime",
        default=TORCH,
        choices=RUNTIMES,
        help="what runs the encoder (default: %(default)s)",
    )
    add("--threads", type=int, default=1, help="of the runtime (default: %(default)s)")
    add(
        "--seconds",
        type=float,
        default=10.0,
        help="length of the audio (default: %(default)g)",
    )
    add(
        "--max_seconds",
        type=float,
        default=90.0,
        help="that it takes, about (default: %(default)g)",
    )
    add(
        "--round_to",
        type=int,
        default=1,
        help="of a selection: onnxruntime is measured at multiples of so many units, "
        "which its convolutions prefer (default: %(default)s)",
    )
    add("--export", metavar="DIR", help="write pieces to be timed elsewhere")
    add("--measured", metavar="FILE", help="make the table of what was timed there")
    add("--json", action="store_true", help="print JSON")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command.

    Raises:
        UserError: Bad input, or a table of something else is there.
    """
    args = with_model(get_parser().parse_args(cmd), weights=False)
    if args.export and args.runtime == TORCH:
        raise UserError("--export goes with --runtime onnx or onnx_int8")
    places = (args.output_dir, args.latency, args.export)
    if sum(place is not None for place in places) != 1:
        raise UserError("give one of --output_dir, --latency and --export")
    if args.threads < 1:
        raise UserError("--threads must be at least 1")
    if args.round_to < 1:
        raise UserError("--round_to must be at least 1")
    if not 0.2 <= args.seconds < 3600:
        raise UserError("--seconds must be a length such as 10")
    setup_logging()
    from espnet_prune.families import unit_graph
    from espnet_prune.measure.duration import frames_of
    from espnet_prune.measure.latency_onnx import export_pieces, read_measured
    from espnet_prune.measure.latency_table import NAME, load_or_measure
    from espnet_prune.models import build_model, load_model, read_model_config

    if args.model_file:
        model, config = load_model(args.model_config, args.model_file, args.task)
    else:  # feature statistics change no time, and their file may be gone
        found = read_model_config(args.model_config, args.task)
        config = dict(found, normalize=None)
        model = build_model(config, args.model_config)
    model.eval()
    if args.export:
        frames, ctc = frames_of(config, args.seconds), getattr(model, "ctc", None)
        own = dict(ctc=ctc, round_to=args.round_to)
        export_pieces(
            model.encoder, args.export, frames, args.seconds, args.runtime, **own
        )
        print(f"{args.export}: run measure.py of it where the model is to run")
        return
    path = args.latency or Path(args.output_dir) / NAME
    if args.measured:
        dense = unit_graph(model.encoder).dense
        table = read_measured(args.measured, dense)
        frames = frames_of(config, table.seconds)
        table.check(dense, frames, table.threads, args.measured, table.runtime)
        table.save(path)
    else:
        how = (args.threads, args.seconds, args.max_seconds, args.runtime)
        table = load_or_measure(model, config, path, *how, args.round_to)
    if args.json:
        print(json.dumps(dataclasses.asdict(table)))
    else:
        print(table.summary(unit_graph(model.encoder).dense))


if __name__ == "__main__":
    run_main(main)
