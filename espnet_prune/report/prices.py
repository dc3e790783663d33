# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a model or its encoder costs: in all, by part, and by kind of unit."""

from typing import Any, Dict, List, Optional, Sequence

from espnet_prune.measure.cost import MODEL, WHOLE, CostModel, cost, part_costs
from espnet_prune.report.parts import parts_table

# what modules are called in a table, where not as in ESPnet
MODULES = {
    "attn": "attention",
    "cgmlp": "cgMLP",
    "conv_module": "convolution",
    "self_attn": "attention",
    "src_attn": "source attention",
}


def shares(structure: Any, frames: int) -> List[Dict[str, Any]]:
    """Price every kind of unit.

    Returns:
        Rows {kind, units, params, macs, params_of_one, macs_of_one}: what the model
        saves without any unit of the kind, and without one unit of the first vector.
    """
    model = CostModel(structure, frames)
    full = model.exact({})
    kinds: Dict[str, List[str]] = {}
    for key, stack in structure.own.items():
        of = "" if key == WHOLE else f"{key}: "
        for name, vector in stack.price.vectors.items():
            last = name.rpartition(".")[2]
            label = f"{MODULES.get(last, last)} module" if vector.whole else vector.kind
            kinds.setdefault(of + label, []).append(name)
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
    structure: Any,
    frames: Sequence[int],
    total: Optional[int] = None,
    **more: Any,
) -> Dict[str, Any]:
    """Price a structure.

    Args:
        structure: The structure, of an encoder or a model.
        frames: Lengths of utterances in input frames.
        total: Parameters of the whole model, if it is known.
        **more: What `table` says beside the prices: seconds of the first length,
            note (see `explained`), and recognition (see `report.parts.recognition`).

    Returns:
        What `table` shows.
    """
    return {
        "encoder_params": cost(structure, part=WHOLE).params,
        "total_params": total,
        "lengths": [
            {
                "frames": number,
                "macs": cost(structure, number, WHOLE).macs,
                "parts": part_costs(structure, number),
                "kinds": shares(structure, number),
            }
            for number in frames
        ],
        **more,
    }


def table(report: Dict[str, Any]) -> str:
    """Return the report as a table for people."""
    first = report["lengths"][0]
    whole = first["parts"][MODEL]
    lines = [
        f"encoder: {report['encoder_params']:,} parameters",
        *(
            f"{entry['frames']:>6} frames: {entry['macs'] / 1e9:.4f} GMACs"
            for entry in report["lengths"]
        ),
        "",
        f"at {first['frames']} frames, shares of all that is priced:",
        f"{'kind':<33} {'units':>7} {'params':>8} {'MACs':>8} {'one unit':>22}",
    ]
    rows = [(row["kind"], f"{row['units']}", row) for row in first["kinds"]]
    rows += [(f"part {name}", "", row) for name, row in first["parts"].items()]
    for name, units, row in rows:
        line = (
            f"{name:<33} {units:>7} {row['params'] / whole['params']:>8.1%} "
            f"{row['macs'] / whole['macs'] if whole['macs'] else 0:>8.1%}"
        )
        if units:
            line += (
                f" {row['params_of_one']:>9,} {row['macs_of_one'] / 1e6:>8.3f} MMACs"
            )
        lines.append(line)
    if report.get("note"):
        measured = report.get("recognition")
        name = next(iter(measured["times"])) if measured else "model"
        parts = parts_table({name: first["parts"]}, measured, report["seconds"])
        lines += ["", parts, "", report["note"]]
    return "\n".join(lines)
