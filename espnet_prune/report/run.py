# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The report of a pruning run: tables, pictures, and an HTML page that shows both.

The page needs no other file and no network.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_prune.measure.latency_table import described
from espnet_prune.measure.tokens import token_rate
from espnet_prune.report import plots, results
from espnet_prune.report.deployed import deployed, deployed_table
from espnet_prune.report.parts import explained, parts_table, recognition
from espnet_prune.utils import atomic_write, read_json, read_mapping, write_json

SEARCH_PICTURES = {
    "search": "The search over blocks",
    "similarity": "Similarity of the layers, and the runs of blocks removed",
}
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
       padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th { font-weight: 600; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #dde2e8; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } svg, img { max-width: 100%; height: auto; }
code { font-size: .9em; } dt { font-weight: 600; } dd { margin: 0 0 .3rem 1rem; }
</style></head><body>
<h1>{{ title }}</h1>
{% macro shown(rows) %}
<div class="wide"><table>
{% for cells in rows %}
{% set tag = "th" if loop.first else "td" %}
<tr>{% for cell in cells %}<{{ tag }}>{{ cell }}</{{ tag }}>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endmacro %}
{{ shown(rows) }}
<p>Rates in percent; in parentheses what remains of the dense model; encoder time on one
thread of this machine, the fastest run of several in turns.</p>
{% if parts %}
<h2>Where size and time are</h2>
{{ shown(parts) }}
<p>{{ note }}</p>
{% endif %}
{% for caption, picture in pictures %}
<h2>{{ caption }}</h2>
{{ picture | safe }}
{% endfor %}
<h2>How it was made</h2>
<dl>
{% for key, value in facts.items() %}
<dt>{{ key }}</dt><dd><code>{{ value }}</code></dd>
{% endfor %}
</dl>
</body></html>
"""


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


def provenance_of(path: Path) -> Dict[str, Any]:
    """Return what structure.json says of its origin, milliseconds as a sentence."""
    found = read_json(path).get("provenance", {}) if path.is_file() else {}
    return {**found, "ms": described(found["ms"])} if found.get("ms") else found


def table_cells(markdown: str) -> List[List[str]]:
    """Return the cells of a Markdown table, as `tables.markdown` writes it."""
    lines = [line.strip() for line in markdown.splitlines() if line.strip()]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[:1] + rows[2:]  # without the rule under the head


def page(
    title: str,
    table: str,
    pictures: Sequence[Tuple[str, str]],
    facts: Mapping[str, Any],
    parts: str = "",
    note: str = "",
) -> str:
    """The page.

    Args:
        title: Heading.
        table: The compression table in Markdown.
        pictures: (caption, SVG or image element) pairs.
        facts: What is listed at the end: method, budget, versions, hashes.
        parts: A second table in Markdown, of the parts of the models.
        note: What it counts.
    """
    from jinja2 import Template

    template = Template(PAGE, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    rows, more = table_cells(table), {"parts": table_cells(parts), "note": note}
    return template.render(
        title=title, rows=rows, pictures=pictures, facts=facts, **more
    )


def write_report(
    dense_exp: Path,
    prune_exp: Path,
    model: str,
    decode: str,
    output_dir: Path,
    frames: Optional[int],
    runs: int,
    command: str,
) -> str:
    """Measure the models of a run and write what there is to say of them.

    The options are `report`'s; the command is for the record.

    Returns:
        The table, and how it was made.

    Raises:
        UserError: A model is missing, or models were decoded differently.
    """
    out, rows = output_dir, results.entries(dense_exp, prune_exp, model, decode)
    found = results.measure(rows, frames, runs)
    results.add_scores(found, rows)
    seconds = results.seconds_of(frames, rows[0].config)
    table = results.compression_table(found, seconds)
    files = {row.name: (row.config, row.model) for row in rows}
    heard = recognition(files, found[0]["decoding"], min(3, runs))
    parts = parts_table({row["name"]: row["parts"] for row in found}, heard, seconds)
    note = explained(token_rate(read_mapping(rows[0].config)), 1, heard)
    text = f"{table}\n\n{parts}\n\n{note}"
    side = deployed(prune_exp / "deploy") if runs else None
    text += f"\n\n{deployed_table(side)}" if side else ""
    provenance = provenance_of(prune_exp / "cut" / "structure.json")
    facts = {**provenance, "command": command, **dict(results.environment())}
    images = pictures(found, prune_exp / "select", out)
    with atomic_write(out / "report.html") as stream:
        stream.write(
            page(f"Pruning report: {out.name}", table, images, facts, parts, note)
        )
    with atomic_write(out / "RESULTS.md") as stream:
        stream.write(results.results_md(found, rows, text, provenance, command))
    record = {
        "models": found,
        "frames": found[0]["frames"],
        "seconds": seconds,
        "provenance": provenance,
        "command": command,
        "environment": dict(results.environment()),
        "made_by": results.made_by(found),
        "recognition": heard,
        "deployed": side,
        "note": note,
    }
    write_json(record, out / "report.json")
    return f"{text}\n\n{results.made_by(found)}"
