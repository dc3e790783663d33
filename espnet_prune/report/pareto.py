# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which of several models are worth having: error rate against size, cost and time."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

from espnet_prune.report.plots import drawing
from espnet_prune.report.tables import headline

AXES = {
    "encoder_params": ("parameters", 1e6, "encoder parameters (M)"),
    "gmacs": ("MACs", 1.0, "GMACs of the encoder"),
    "ms": ("ms", 1.0, "encoder time (ms)"),
}


def points(found: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Reduce the result of `results.measure`, with scores, to what is compared.

    Args:
        found: One mapping for each model.

    Returns:
        list: name, the set by which models are compared and its wer in percent (None
        where it was not decoded), and a value for every one of `AXES`.
    """
    result = []
    for row in found:
        sets = row["scores"]
        name = headline(sets) if sets else None
        wer: Optional[float] = sets[name]["wer"]["rate"] if name else None
        prices = {k: row[k] for k in ("encoder_params", "gmacs")}
        prices["ms"] = row["latency"]["min_ms"]
        result.append({"name": row["name"], "set": name, "wer": wer, **prices})
    return result


def front(found: Sequence[Mapping[str, Any]], axis: str) -> List[str]:
    """Return the names of the models that no other one beats, the smallest first.

    Args:
        found: See `points`.
        axis: One of `AXES`.

    Example:
        >>> models = [("a", 9.0, 4.0), ("b", 8.0, 2.0), ("c", 9.0, 1.0)]
        >>> front([dict(name=n, wer=w, ms=t) for n, w, t in models], "ms")
        ['c', 'b']
    """
    names: List[str] = []
    best = float("inf")
    scored = [point for point in found if point["wer"] is not None]
    for point in sorted(scored, key=lambda p: (p[axis], p["wer"])):
        if point["wer"] < best:
            best = point["wer"]
            names.append(point["name"])
    return names


def figure(found: Sequence[Mapping[str, Any]], measure: str = "WER") -> Any:
    """Draw the error rate over each of `AXES`, the front as a line.

    Args:
        found: See `points`.
        measure: What the error rate is called.

    Returns:
        A matplotlib figure.
    """
    result, panels = drawing(3.2 * len(AXES), 3.0, 1, len(AXES), sharey=True)
    scored = {p["name"]: p for p in found if p["wer"] is not None}
    for panel, (axis, (_, unit, label)) in zip(panels, AXES.items()):
        best = [scored[name] for name in front(found, axis)]
        line = ([p[axis] / unit for p in best], [p["wer"] for p in best])
        panel.plot(*line, "-", color="#3b6ea5")
        for name, point in scored.items():
            place = (point[axis] / unit, point["wer"])
            panel.plot(*place, "o", color="#3b6ea5" if point in best else "#b0b5bb")
            panel.annotate(
                name, place, xytext=(3, 3), textcoords="offset points", fontsize=6
            )
        panel.set_xlabel(label, fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.2)
    names = dict.fromkeys(p["set"] for p in scored.values() if p["set"])
    panels[0].set_ylabel(" ".join([measure, *names, "(%)"]), fontsize=8)
    return result
