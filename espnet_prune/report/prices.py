# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What an encoder costs: in all, by part, and by kind of unit."""

from typing import Any, Dict, List, Optional, Sequence

from espnet_prune.measure.cost import PARTS, CostModel, cost

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


def prices(
    structure: Any, frames: Sequence[int], total: Optional[int] = None
) -> Dict[str, Any]:
    """Price a structure.

    Args:
        structure: The structure.
        frames: Lengths of utterances in input frames.
        total: Parameters of the whole model, if it is known.

    Returns:
        What `table` shows.
    """
    return {
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
