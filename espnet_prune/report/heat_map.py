# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A picture of how alike the layers are, and of what was removed."""

from pathlib import Path
from typing import Any, Sequence, Tuple

import numpy as np

from espnet_prune.report.plots import save_png
from espnet_prune.utils import PathLike

# up to so many layers the cells are large enough for their numbers
NUMBERED = 16


def heat_map_figure(
    matrix: np.ndarray, runs: Sequence[Tuple[int, int]] = (), label: str = "similarity"
) -> Any:
    """Draw a similarity matrix; see `heat_map`.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    last = len(matrix) - 1
    runs = sorted(runs)
    for first, end in runs:
        if not 1 <= first <= end <= last:
            raise ValueError(f"run ({first}, {end}) is not within blocks 1 to {last}")
    size = min(9.0, max(4.0, 0.42 * (last + 1) + 1.2))
    figure = Figure(figsize=(size + 1.6, size), layout="constrained")
    axis = figure.subplots()
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
    return figure


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
    save_png(heat_map_figure(np.asarray(matrix), runs, label), Path(path))
