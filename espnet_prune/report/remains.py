# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One picture of what remains in several prunings of the same encoder."""

from typing import Any, Mapping, Sequence, Tuple

from espnet_prune.report.plots import FRONT_TITLES, TITLES, layer_counts
from espnet_prune.structure import FRONT_FIELDS

NAMES = {**FRONT_TITLES, **TITLES}


def remains_figure(
    dense: Mapping[str, Any], runs: Sequence[Tuple[str, Mapping[str, Any]]]
) -> Any:
    """Draw a line per pruned encoder and a cell per layer, dark where much remains.

    Args:
        dense: `Structure.widths()` of the dense encoder.
        runs: Name and `Structure.widths()` of every pruned one.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    fields = [field for field in NAMES if dense.get(field)]
    rows = [("dense", dense), *runs]
    layers = [len(dense[field]) for field in fields]
    figure = Figure(
        figsize=(0.36 * sum(layers) + 2.4, 0.24 * len(rows) + 0.8), layout="constrained"
    )
    axes = figure.subplots(
        1, len(fields), squeeze=False, sharey=True, width_ratios=layers
    )[0]
    for axis, field in zip(axes, fields):
        counts = [layer_counts(field, dense, kept) for _, kept in rows]
        shares = [[n / max(d, 1) for n, d in zip(c, dense[field])] for c in counts]
        axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.25, aspect="auto")
        for y, line in enumerate(counts):
            for x, count in enumerate(line):
                colour = "white" if shares[y][x] > 0.7 else "black"
                place = dict(ha="center", va="center", fontsize=6, color=colour)
                axis.text(x, y, str(count), **place)
        front = field in FRONT_FIELDS
        axis.set_title(NAMES[field].replace(": ", ":\n"), fontsize=7)
        layers = list(range(len(dense[field])))
        axis.set_xticks(layers, layers if front else dense["kept_blocks"])
        axis.set_xlabel("convolution" if front else "block", fontsize=7)
        axis.set_yticks(list(range(len(rows))), [name for name, _ in rows])
        axis.tick_params(labelsize=7, length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure
