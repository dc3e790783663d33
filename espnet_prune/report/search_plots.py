# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pictures of a search over blocks: how alike the layers are, what was removed."""

from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

import numpy as np

from espnet_prune.report.plots import drawing, save_png
from espnet_prune.utils import PathLike

# up to so many layers the cells are large enough for their numbers
NUMBERED = 16


def heat_map(
    matrix: np.ndarray,
    path: PathLike,
    runs: Sequence[Tuple[int, int]] = (),
    label: str = "similarity",
) -> None:
    """Write a similarity matrix as PNG, atomically.

    Args:
        matrix: (N+1, N+1).
        path: The file.
        runs: Removed blocks as (first, last), 1-based and inclusive. The cell of a run
            is that of the layers which it joins, row first - 1 and column last.
        label: Text at the colour bar.

    Raises:
        ValueError: A run that is not within the blocks 1 to N.
    """
    from matplotlib.patches import Rectangle

    matrix, runs, last = np.asarray(matrix), sorted(runs), len(matrix) - 1
    for first, end in runs:
        if not 1 <= first <= end <= last:
            raise ValueError(f"run ({first}, {end}) is not within blocks 1 to {last}")
    size = min(9.0, max(4.0, 0.42 * (last + 1) + 1.2))
    figure, axis = drawing(size + 1.6, size)
    # no lower than what is there, so that small differences near 1 can be seen
    low = min(float(matrix.min()), 0.99)
    image = axis.imshow(matrix, cmap="viridis", vmin=low, vmax=1.0)
    bar = figure.colorbar(image, ax=axis, shrink=0.85)
    bar.set_label(label, fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7)
    step = next(s for s in (1, 2, 4, 8, last + 1) if last < 20 * s)
    for own in (axis.xaxis, axis.yaxis):
        own.set_ticks(list(range(0, last + 1, step)))
        own.set_label_text("layer (0 is the input of block 1)", fontsize=8)
    axis.tick_params(labelsize=7, length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    if last <= NUMBERED:
        for (a, b), value in np.ndenumerate(matrix):
            colour = "white" if value < low + 0.6 * (1.0 - low) else "black"
            text = f"{value:.2f}".lstrip("0")
            axis.text(b, a, text, ha="center", va="center", fontsize=6, color=colour)
    for first, end in runs:
        cell = Rectangle(
            (end - 0.5, first - 1.5), 1, 1, fill=False, edgecolor="#d62728", linewidth=2
        )
        axis.add_patch(cell)
    if runs:
        blocks = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
        if len(blocks) > 48:
            blocks = f"{sum(b - a + 1 for a, b in runs)} blocks in {len(runs)} runs"
        cell.set_label(f"removed: {blocks}")
        figure.legend(
            handles=[cell], loc="outside upper left", fontsize=8, frameon=False
        )
    save_png(figure, Path(path))


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
    figure, axis = drawing(6.0, 3.6)
    known = [row for row in found.rows if row.error is not None]
    if any(row.score is not None for row in known):
        scores, errors = zip(*((row.score, 100 * row.error) for row in known))
        axis.scatter(scores, errors, color="#3b6ea5", label="evaluated")
        axis.scatter(scores[:1], errors[:1], color="#c23b22", label="chosen")
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
