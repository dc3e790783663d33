# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One HTML page that needs no other file and no network."""

from html import escape
from typing import Any, Mapping, Sequence, Tuple

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
       padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } th { font-weight: 600; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #dde2e8; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } svg, img { max-width: 100%; height: auto; }
code { font-size: .9em; } dt { font-weight: 600; } dd { margin: 0 0 .3rem 1rem; }
"""


def html_table(markdown: str) -> str:
    """A Markdown table, as `results.markdown` writes it, in HTML."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in markdown.splitlines()
        if line.strip()
    ]
    lines = ["<table>"]
    for n, cells in enumerate(rows):
        if n == 1:
            continue  # the rule under the head
        tag = "th" if n == 0 else "td"
        lines.append(
            "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"
        )
    return "\n".join(lines + ["</table>"])


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
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<div class="wide">{html_table(table)}</div>',
        "<p>Rates in percent; in parentheses what remains of the dense model; "
        "encoder time on one thread of this machine, the fastest run of several in "
        "turns.</p>",
    ]
    for caption, picture in pictures:
        parts.append(f"<h2>{escape(caption)}</h2>\n{picture}")
    parts.append("<h2>How it was made</h2>\n<dl>")
    for key, value in facts.items():
        parts.append(
            f"<dt>{escape(str(key))}</dt><dd><code>{escape(str(value))}</code></dd>"
        )
    parts.append("</dl>\n</body></html>\n")
    return "\n".join(parts)
