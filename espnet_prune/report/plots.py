# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pictures of what remains of an encoder, and of how the selection went."""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from espnet_prune.structure import FRONT_FIELDS
from espnet_prune.utils import atomic_write

FRONT_TITLES = {
    "subsampling_channels": "subsampling: channels",
    "wave_channels": "convolutions over the waveform: channels",
}
TITLES = {
    "macaron_linear_units": "first feed-forward: units",
    "attention_heads": "attention: heads",
    "conv_channels": "convolution: channels",
    "cgmlp_units": "cgMLP: channels",
    "linear_units": "last feed-forward: units",
}


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
    from matplotlib.figure import Figure

    kinds = [kind for kind in (*FRONT_TITLES, *TITLES) if dense.get(kind)]
    blocks: List[int] = list(dense["kept_blocks"])
    longest = max(len(dense[kind]) for kind in kinds)
    figure = Figure(
        figsize=(max(5.0, 0.45 * longest + 2.5), 1.6 * len(kinds)),
        layout="constrained",
    )
    axes = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
    for axis, kind in zip(axes, kinds):
        front, counts = kind in FRONT_FIELDS, layer_counts(kind, dense, kept)
        layers = list(range(len(counts))) if front else blocks
        axis.bar(layers, dense[kind], color="#e3e6ea", width=0.8)
        axis.bar(layers, counts, color="#3b6ea5", width=0.8)
        top = max(dense[kind])
        for layer, count in zip(layers, counts):
            axis.text(layer, count + 0.03 * top, str(count), ha="center", fontsize=7)
        title = FRONT_TITLES.get(kind) or TITLES[kind]
        axis.set_title(f"{title} (of {_range(dense[kind])})", fontsize=9, loc="left")
        axis.set_ylim(0, 1.25 * top)
        axis.set_yticks([])
        axis.set_xticks(layers)
        axis.tick_params(labelsize=7)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        if front:
            axis.set_xlabel("convolution", fontsize=8)
    axes[-1].set_xlabel("block", fontsize=8)
    return figure


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(high) if low == high else f"{low} to {high}"


def selection_figure(lines: Sequence[Mapping[str, Any]]) -> Any:
    """Target and reached sparsity over the steps, a colour per target of the budget.

    Args:
        lines: Content of select.jsonl, with step, target and reached; of several
            targets with their names, as in target_macs and reached_macs.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 2.6), layout="constrained")
    axis = figure.subplots()
    steps = [line["step"] for line in lines]
    found = [key[len("reached") :] for key in lines[0] if key.startswith("reached")]
    for i, name in enumerate(found):
        for key, style in (("target", "--"), ("reached", "-")):
            axis.plot(
                steps,
                [line[key + name] for line in lines],
                style,
                color=f"C{i}",
                label=(key + name).replace("_", " "),
            )
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
