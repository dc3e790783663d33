# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pictures of what remains of encoders, and of how the selection went."""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from espnet_prune.structure import FRONT_FIELDS
from espnet_prune.utils import atomic_write

TITLES = {
    "subsampling_channels": "subsampling: channels",
    "wave_channels": "convolutions over the waveform: channels",
    "macaron_linear_units": "first feed-forward: units",
    "attention_heads": "attention: heads",
    "conv_channels": "convolution: channels",
    "cgmlp_units": "cgMLP: channels",
    "linear_units": "last feed-forward: units",
}


def drawing(width: float, height: float, *grid: int, **form: Any) -> Tuple[Any, Any]:
    """Return a matplotlib figure and its axes.

    Args:
        width: In inches.
        height: In inches.
        grid: Rows and columns of axes, where there are several.
        form: More arguments of `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(*grid, **form)


def plain_log(axis: Any) -> None:
    """Make both axes logarithmic, with ticks that are read as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for scale, own in ((axis.set_xscale, axis.xaxis), (axis.set_yscale, axis.yaxis)):
        scale("log")
        own.set_major_locator(LogLocator(subs=(1, 2, 5)))
        own.set_major_formatter("{x:g}")
        own.set_minor_formatter(NullFormatter())


def layer_counts(
    field: str, dense: Mapping[str, Any], kept: Mapping[str, Any]
) -> List[int]:
    """Return what is kept of one kind, a number for every layer of the dense encoder.

    Args:
        field: A field of the structure.
        dense: `Structure.widths()` of the dense encoder.
        kept: `Structure.widths()` of a pruned one.
    """
    own = list(kept.get(field) or [])
    if field in FRONT_FIELDS:
        return own
    position = {block: i for i, block in enumerate(kept["kept_blocks"])}
    own = own or [0] * len(position)
    return [own[position[b]] if b in position else 0 for b in dense["kept_blocks"]]


def structure_figure(dense: Mapping[str, Any], kept: Mapping[str, Any]) -> Any:
    """Bars per layer: what the dense encoder has, and what is kept.

    The front end comes first, a bar per convolution; then a bar per block and module.

    Args:
        dense: `Structure.widths()` of the dense encoder.
        kept: `Structure.widths()` of the pruned one.

    Returns:
        A matplotlib figure.
    """
    kinds = [kind for kind in TITLES if dense.get(kind)]
    blocks: List[int] = list(dense["kept_blocks"])
    longest = max(len(dense[kind]) for kind in kinds)
    size = max(5.0, 0.45 * longest + 2.5), 1.6 * len(kinds)
    figure, axes = drawing(*size, len(kinds), squeeze=False)
    for axis, kind in zip(axes[:, 0], kinds):
        front, counts = kind in FRONT_FIELDS, layer_counts(kind, dense, kept)
        layers = list(range(len(counts))) if front else blocks
        axis.bar(layers, dense[kind], color="#e3e6ea", width=0.8)
        axis.bar(layers, counts, color="#3b6ea5", width=0.8)
        top = max(dense[kind])
        for layer, count in zip(layers, counts):
            axis.text(layer, count + 0.03 * top, str(count), ha="center", fontsize=7)
        axis.set_title(
            f"{TITLES[kind]} (of {_range(dense[kind])})", fontsize=9, loc="left"
        )
        axis.set_ylim(0, 1.25 * top)
        axis.set_yticks([])
        axis.set_xticks(layers)
        axis.tick_params(labelsize=7)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        if front:
            axis.set_xlabel("convolution", fontsize=8)
    axes[-1, 0].set_xlabel("block", fontsize=8)
    return figure


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(high) if low == high else f"{low} to {high}"


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
    fields = [field for field in TITLES if dense.get(field)]
    rows = [("dense", dense), *runs]
    layers = [len(dense[field]) for field in fields]
    size = 0.36 * sum(layers) + 2.4, 0.24 * len(rows) + 0.8
    form = {"squeeze": False, "sharey": True, "width_ratios": layers}
    figure, axes = drawing(*size, 1, len(fields), **form)
    for axis, field in zip(axes[0], fields):
        counts = [layer_counts(field, dense, kept) for _, kept in rows]
        shares = [[n / max(d, 1) for n, d in zip(c, dense[field])] for c in counts]
        axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.25, aspect="auto")
        for y, line in enumerate(counts):
            for x, count in enumerate(line):
                colour = "white" if shares[y][x] > 0.7 else "black"
                place = dict(ha="center", va="center", fontsize=6, color=colour)
                axis.text(x, y, str(count), **place)
        front = field in FRONT_FIELDS
        axis.set_title(TITLES[field].replace(": ", ":\n"), fontsize=7)
        layers = list(range(len(dense[field])))
        axis.set_xticks(layers, layers if front else dense["kept_blocks"])
        axis.set_xlabel("convolution" if front else "block", fontsize=7)
        axis.set_yticks(list(range(len(rows))), [name for name, _ in rows])
        axis.tick_params(labelsize=7, length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure


def selection_figure(lines: Sequence[Mapping[str, Any]]) -> Any:
    """Target and reached sparsity over the steps, a colour per target of the budget.

    Args:
        lines: Content of select.jsonl, with step, target and reached; of several
            targets with their names, as in target_macs and reached_macs.
    """
    figure, axis = drawing(6.0, 2.6)
    steps = [line["step"] for line in lines]
    found = [key[len("reached") :] for key in lines[0] if key.startswith("reached")]
    for i, name in enumerate(found):
        for key, style in (("target", "--"), ("reached", "-")):
            values, label = [x[key + name] for x in lines], (key + name).replace(
                "_", " "
            )
            axis.plot(steps, values, style, color=f"C{i}", label=label)
    axis.set_xlabel("step", fontsize=8)
    axis.set_ylabel("share removed", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8)
    return figure


def svg(figure: Any) -> str:
    """The figure as an SVG element for an HTML page, the same bytes each time."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "espnet_prune"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def save_png(figure: Any, path: Path) -> None:
    """Write the figure as PNG."""
    metadata: Dict[str, Any] = {"Software": None}
    with atomic_write(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=150, metadata=metadata)


def embedded(path: Path, caption: str) -> str:
    """A PNG file as an element of an HTML page that needs no other file."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{caption}" src="data:image/png;base64,{data}">'
