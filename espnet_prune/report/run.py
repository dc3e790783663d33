# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The report of a pruning run: tables, pictures, and a page that shows both."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from espnet_prune.report import plots
from espnet_prune.report.page import page
from espnet_prune.report.results import (
    add_scores,
    compression_table,
    entries,
    environment,
    made_by,
    measure,
    results_md,
    seconds_of,
)
from espnet_prune.utils import atomic_write, read_json, write_json

SEARCH_PICTURES = {
    "search": "The search over blocks",
    "similarity": "Similarity of the layers, and the runs of blocks removed",
}


def read_log(path: Path) -> List[Dict[str, Any]]:
    """Read select.jsonl, lines without step, or without what was reached, left out."""
    if not path.is_file():
        return []
    lines = [json.loads(x) for x in path.read_text().splitlines() if x.strip()]
    return [x for x in lines if "step" in x and any(k.startswith("reached") for k in x)]


def pictures(found: List[Dict[str, Any]], select: Path, out: Path) -> Any:
    """Draw what remains and how the selection went.

    Args:
        found: The models, see `results.measure`.
        select: Directory of the selection.
        out: Where images/ goes.

    Returns:
        (caption, SVG or image element) pairs for the page.
    """
    drawn: List[Tuple[str, str]] = []

    def add(name: str, caption: str, figure: Any) -> None:
        plots.save_png(figure, out / "images" / f"{name}.png")
        drawn.append((caption, plots.svg(figure)))

    figure = plots.structure_figure(found[0]["structure"], found[-1]["structure"])
    add("structure", "What remains, block by block", figure)
    log = read_log(select / "select.jsonl")
    if len(log) > 1:
        figure = plots.selection_figure(log)
        add("selection", "The budget while selecting", figure)
    for name, caption in SEARCH_PICTURES.items():
        path = select / "images" / f"{name}.png"
        if path.is_file():
            drawn.append((caption, plots.embedded(path, caption)))
    return drawn


def write_report(
    dense: Path,
    pruned: Path,
    model: str,
    decode: str,
    out: Path,
    command: str,
    frames: Optional[int] = None,
    runs: int = 15,
) -> str:
    """Measure the models of a run and write what there is to say of them.

    Args:
        dense: Experiment directory of the dense model.
        pruned: That of the pruned model, with select/ and cut/.
        model: File name of the checkpoints in both.
        decode: Name of the decoding directories.
        out: Where RESULTS.md, report.json, report.html and images/ go.
        command: The command, for the record.
        frames: See `results.measure`.
        runs: See there.

    Returns:
        The table, and how it was made.

    Raises:
        UserError: A model is missing, or models were decoded differently.
    """
    rows = entries(dense, pruned, model, decode)
    found = measure(rows, frames, runs)
    add_scores(found, rows)
    seconds = seconds_of(frames, rows[0].config)
    table = compression_table(found, seconds)
    structure = pruned / "cut" / "structure.json"
    provenance = {}
    if structure.is_file():
        provenance = read_json(structure).get("provenance", {})
    facts = {**provenance, "command": command, **dict(environment())}
    images = pictures(found, pruned / "select", out)
    with atomic_write(out / "report.html") as stream:
        stream.write(page(f"Pruning report: {out.name}", table, images, facts))
    with atomic_write(out / "RESULTS.md") as stream:
        stream.write(results_md(found, rows, table, provenance, command))
    record = {
        "models": found,
        "frames": found[0]["frames"],
        "seconds": seconds,
        "provenance": provenance,
        "command": command,
        "environment": dict(environment()),
        "made_by": made_by(found),
    }
    write_json(record, out / "report.json")
    return f"{table}\n\n{made_by(found)}"
