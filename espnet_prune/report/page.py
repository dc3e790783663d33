# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One HTML page that needs no other file and no network."""

from typing import Any, List, Mapping, Sequence, Tuple

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
<div class="wide"><table>
{% for cells in rows %}
{% set tag = "th" if loop.first else "td" %}
<tr>{% for cell in cells %}<{{ tag }}>{{ cell }}</{{ tag }}>{% endfor %}</tr>
{% endfor %}
</table></div>
<p>Rates in percent; in parentheses what remains of the dense model; encoder time on one
thread of this machine, the fastest run of several in turns.</p>
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


def table_cells(markdown: str) -> List[List[str]]:
    """Return the cells of a Markdown table, as `results.markdown` writes it."""
    lines = [line.strip() for line in markdown.splitlines() if line.strip()]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[:1] + rows[2:]  # without the rule under the head


def page(
    title: str,
    table: str,
    pictures: Sequence[Tuple[str, str]],
    facts: Mapping[str, Any],
) -> str:
    """The page.

    Args:
        title: Heading.
        table: The compression table in Markdown.
        pictures: (caption, SVG or image element) pairs.
        facts: What is listed at the end: method, budget, versions, hashes.
    """
    from jinja2 import Template

    template = Template(PAGE, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    rows = table_cells(table)
    return template.render(title=title, rows=rows, pictures=pictures, facts=facts)
