# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pictures of how a search over blocks went."""

from pathlib import Path
from typing import Any, Optional

from espnet_prune.report.plots import save_png


def search_plot(
    found: Any, number: int, dense_error: Optional[float], metric: str, path: Path
) -> None:
    """Draw error by depth, or error by score where the search had scores.

    Args:
        found: What the search returned (`select.layers.search.Found`).
        number: Blocks of the full model.
        dense_error: Its error rate, a fraction.
        metric: "wer" or "cer".
        path: PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axis = figure.subplots()
    known = [row for row in found.rows if row.error is not None]
    if any(row.score is not None for row in known):
        axis.scatter(
            [row.score for row in known],
            [100 * row.error for row in known],
            color="#3b6ea5",
            label="evaluated",
        )
        best = known[0]
        axis.scatter([best.score], [100 * best.error], color="#c23b22", label="chosen")
        axis.set_xlabel("score by the similarity of layers")
    elif len(found.path) > 1:
        depths = [number - n for n in found.path]
        errors = [100 * row.error for row in found.path.values()]
        axis.plot(depths, errors, marker="o", color="#3b6ea5", label="best set found")
        axis.set_xlabel("blocks that stay")
        axis.set_xticks([number, *depths])
        axis.invert_xaxis()
    else:
        errors = sorted(100 * row.error for row in known)
        axis.plot(range(1, len(errors) + 1), errors, color="#3b6ea5", label="sets")
        axis.set_xlabel("rank of the set")
    if dense_error is not None:
        label = f"all {number} blocks"
        axis.axhline(100 * dense_error, color="#8a8f98", linestyle="--", label=label)
    axis.set_ylabel(f"dev {metric.upper()} [%], greedy CTC")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    save_png(figure, path)
