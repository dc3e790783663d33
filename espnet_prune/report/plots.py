# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pictures of what remains of an encoder, and of how the selection went."""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from espnet_prune.structure import FRONT_FIELDS
from espnet_prune.utils import atomic_write

TITLES = {
    "macaron_linear_units": "first feed-forward: units",
    "attention_heads": "attention: heads",
    "conv_channels": "convolution: channels",
    "cgmlp_units": "cgMLP: channels",
    "linear_units": "last feed-forward: units",
}


def structure_figure(dense: Mapping[str, Any], kept: Mapping[str, Any]) -> Any:
    """Bars per block and module: what the dense encoder has, and what is kept.

    Args:
        dense: `Structure.widths()` of the dense encoder.
        kept: `Structure.widths()` of the pruned one.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    kinds = [kind for kind in TITLES if kind in dense]
    blocks: List[int] = list(dense["kept_blocks"])
    position = {block: i for i, block in enumerate(kept["kept_blocks"])}
    figure = Figure(
        figsize=(max(5.0, 0.45 * len(blocks) + 2.5), 1.6 * len(kinds)),
        layout="constrained",
    )
    axes = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
    for axis, kind in zip(axes, kinds):
        own = kept.get(kind) or [0] * len(position)
        counts = [own[position[b]] if b in position else 0 for b in blocks]
        axis.bar(blocks, dense[kind], color="#e3e6ea", width=0.8)
        axis.bar(blocks, counts, color="#3b6ea5", width=0.8)
        top = max(dense[kind])
        for block, count in zip(blocks, counts):
            axis.text(block, count + 0.03 * top, str(count), ha="center", fontsize=7)
        axis.set_title(f"{TITLES[kind]} (of {top})", fontsize=9, loc="left")
        axis.set_ylim(0, 1.25 * top)
        axis.set_yticks([])
        axis.set_xticks(blocks)
        axis.tick_params(labelsize=7)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    label = "block"
    for field in FRONT_FIELDS:
        if dense.get(field):
            label += f"    ({field.replace('_', ' ')}: {kept[field]}"
            label += f" of {dense[field]})"
    axes[-1].set_xlabel(label, fontsize=8)
    return figure


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
