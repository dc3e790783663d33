#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Price an encoder: parameters and MACs, per kind of unit, per part and in all.

Of an experiment (--model_config) or of a structure.json (--structure).
"""

import argparse
import json
from typing import Any, Dict, List, Optional

from espnet_prune.tasks import add_argument
from espnet_prune.utils import UserError, command_parser, run_main, write_json


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("--model_config", help="config.yaml of an ESPnet experiment")
    add_argument(parser)
    parser.add_argument("--structure", help="structure.json")
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


# what modules are called in a table, where not as in ESPnet
MODULES = {
    "attn": "attention",
    "cgmlp": "cgMLP",
    "conv_module": "convolution",
    "self_attn": "attention",
}


def shares(structure: Any, frames: int) -> List[Dict[str, Any]]:
    """Price every kind of unit.

    Returns:
        Rows {kind, units, params, macs, params_of_one, macs_of_one}: what the encoder
        saves without any unit of the kind, and without one unit of the first vector.
    """
    from espnet_prune.measure.cost import CostModel

    model = CostModel(structure, frames)
    full = model.exact({})
    kinds: Dict[str, List[str]] = {}
    for stack in structure.own.values():
        for name, vector in stack.price.vectors.items():
            last = name.rpartition(".")[2]
            label = f"{MODULES.get(last, last)} module" if vector.whole else vector.kind
            kinds.setdefault(label, []).append(name)
    rows = []
    for kind, names in kinds.items():
        none = model.exact({name: 0 for name in names})
        present = [name for name in names if model.variables[name] > 0]
        one = full
        if present:
            one = model.exact({present[0]: model.variables[present[0]] - 1})
        rows.append(
            {
                "kind": kind,
                "units": sum(model.variables[name] for name in names),
                "params": full.params - none.params,
                "macs": full.macs - none.macs,
                "params_of_one": full.params - one.params,
                "macs_of_one": full.macs - one.macs,
            }
        )
    return rows


def table(report: Dict[str, Any]) -> str:
    """Return the report as a table for people."""
    first = report["lengths"][0]
    lines = [
        f"encoder: {report['encoder_params']:,} parameters",
        *(
            f"{entry['frames']:>6} frames: {entry['macs'] / 1e9:.4f} GMACs"
            for entry in report["lengths"]
        ),
        "",
        f"at {first['frames']} frames:",
        f"{'kind':<28} {'units':>7} {'params':>8} {'MACs':>8} {'one unit':>22}",
    ]
    for row in first["kinds"]:
        lines.append(
            f"{row['kind']:<28} {row['units']:>7} "
            f"{row['params'] / report['encoder_params']:>8.1%} "
            f"{row['macs'] / first['macs']:>8.1%} "
            f"{row['params_of_one']:>9,} {row['macs_of_one'] / 1e6:>8.3f} MMACs"
        )
    lines.append("")
    for part, of in first["parts"].items():
        lines.append(
            f"{'part ' + part:<28} {'':>7} "
            f"{of['params'] / report['encoder_params']:>8.1%} "
            f"{of['macs'] / first['macs']:>8.1%}"
        )
    return "\n".join(lines)


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    if (args.model_config is None) == (args.structure is None):
        raise UserError("give either --model_config or --structure")
    if args.frames is not None and min(args.frames) < 20:
        raise UserError("--frames must be at least 20")
    from espnet_prune.structure import Structure

    total, frames = None, args.frames or [1000, 3000]
    if args.structure is not None:
        structure = Structure.load(args.structure)
    else:
        from espnet_prune.measure.duration import frames_of
        from espnet_prune.models import build_model, read_model_config

        # feature statistics change no size, and their file may be gone
        config = dict(read_model_config(args.model_config, args.task), normalize=None)
        model = build_model(config, args.model_config)
        structure = Structure.dense(model.encoder)
        total = sum(p.numel() for p in model.parameters())
        frames = args.frames or [frames_of(config, seconds) for seconds in (10, 30)]
    from espnet_prune.measure.cost import PARTS, cost

    report = {
        "encoder_params": cost(structure).params,
        "total_params": total,
        "lengths": [
            {
                "frames": number,
                "macs": cost(structure, number).macs,
                "parts": {part: vars(cost(structure, number, part)) for part in PARTS},
                "kinds": shares(structure, number),
            }
            for number in frames
        ],
    }
    if args.output:
        write_json(report, args.output)
    print(json.dumps(report) if args.json else table(report))


if __name__ == "__main__":
    run_main(main)
