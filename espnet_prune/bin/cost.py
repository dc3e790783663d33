#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Price a model: parameters and MACs, per kind of unit, per part and in all.

Of an experiment (--model_config) or of a structure.json (--structure). With its
--model_file, a recognition is timed, too, part by part. --deployed compares a directory
that espnet-prune deploy has written with the model that it was made of, in turns:
size, time and memory of torch, ONNX fp32 and ONNX int8 on one thread and on two. Where
that model is, its proof says, or --model_config and --model_file.
"""

import argparse
import json
from typing import Any, Callable, Dict, List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import (
    UserError,
    command_parser,
    read_mapping,
    run_main,
    write_json,
)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add_model(parser, False, "its checkpoint: time a recognition, too")
    add_argument(parser)
    parser.add_argument(
        "--inference_config", help="YAML of the beam search that is timed"
    )
    parser.add_argument(
        "--beam", type=int, default=1, help="hypotheses at every token of a decoder"
    )
    parser.add_argument("--structure", help="structure.json")
    parser.add_argument("--deployed", metavar="DIR", help="a deployed model")
    parser.add_argument(
        "--frames",
        type=int,
        nargs="+",
        help="input frames of the utterance; by default what the model of "
        "--model_config makes of 10 and 30 s, and 1000 and 3000 with --structure",
    )
    parser.add_argument("--output", help="write JSON to this file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = with_model(get_parser().parse_args(cmd), weights=False)
    if args.deployed is not None:
        compare(args)
        return
    if (args.model_config is None) == (args.structure is None):
        raise UserError("give either --model_config or --structure")
    if args.frames is not None and min(args.frames) < 20:
        raise UserError("--frames must be at least 20")
    if args.beam < 1:
        raise UserError("--beam must be at least 1")
    from espnet_prune.structure import Structure

    total, frames, more = None, args.frames or [1000, 3000], {}
    if args.structure is not None:
        structure = Structure.load(args.structure)
    else:
        from espnet_prune.families import whole_graph
        from espnet_prune.measure.duration import SECONDS, frames_of
        from espnet_prune.measure.tokens import priced, token_rate
        from espnet_prune.models import build_model, read_model_config
        from espnet_prune.report.parts import explained, recognition

        # feature statistics change no size, and their file may be gone
        config = dict(read_model_config(args.model_config, args.task), normalize=None)
        model = build_model(config, args.model_config)
        structure = priced(whole_graph(model).dense, config, args.beam)
        total = sum(p.numel() for p in model.parameters())
        frames = args.frames or [frames_of(config, seconds) for seconds in (10, 30)]
        heard = None
        if args.model_file:
            given = args.inference_config
            options = read_mapping(given) if given else {}
            heard = recognition(
                {"dense": (args.model_config, args.model_file)}, options
            )
        more = {
            "seconds": frames[0] * SECONDS / frames_of(config),
            "recognition": heard,
            "note": explained(token_rate(config), args.beam, heard),
        }
    from espnet_prune.report.prices import prices, table

    told(prices(structure, frames, total, **more), args, table)


def compare(args: argparse.Namespace) -> None:
    """Compare what was deployed with the model that it was made of."""
    from espnet_prune.measure.deployed import Model, deployed_model, measure_deployed
    from espnet_prune.report.deployed import deployed_table

    files = (args.model_config, args.model_file)
    if any(files) and not all(files):
        raise UserError("--deployed: give both --model_config and --model_file")
    model = Model(*files, args.deployed) if all(files) else None
    found = measure_deployed(model or deployed_model(args.deployed))
    told(found, args, deployed_table)


def told(
    report: Dict[str, Any],
    args: argparse.Namespace,
    table: Callable[[Dict[str, Any]], str],
) -> None:
    """Print what was found, and write it where that is asked for."""
    if args.output:
        write_json(report, args.output)
    print(json.dumps(report) if args.json else table(report))


if __name__ == "__main__":
    run_main(main)
