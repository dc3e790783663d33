# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tables in Markdown: ESPnet's error rates, one with the intervals, and any other."""

from typing import Any, Dict, Iterable, List, Optional, Sequence

from espnet_prune.report.bootstrap import few
from espnet_prune.report.counts import percent
from espnet_prune.report.scoring import INTENT

HEAD = (
    "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|\n"
    "|---|---|---|---|---|---|---|---|---|"
)
INTENT_HEAD = "|dataset|Snt|Intent Classification (%)|\n|---|---|---|"


def in_order(sets: Iterable[str]) -> List[str]:
    """Order sets for a table: test sets, the others, and those that are joined.

    What was chosen on a development set looks better there than elsewhere.
    """
    return sorted(sets, key=lambda s: ("+" in s, "test" not in s.lower()))


def headline(sets: Iterable[str]) -> str:
    """Return the set by which models are compared: test sets alone, where there are.

    Several of them together count only if no other set is with them.
    """
    ordered = in_order(sets)
    joined = ordered[-1].split("+")
    only_tests = len(joined) > 1 and all("test" in s.lower() for s in joined)
    return ordered[-1 if only_tests else 0]


def row(name: str, values: Dict[str, Any]) -> str:
    """One row of ESPnet's result table, percentages with one decimal."""
    kinds = ("corr", "sub", "del", "ins", "err")
    parts = [percent(values[kind], values["wrd"]) for kind in kinds]
    parts.append(percent(values["wrong_snt"], values["snt"]))
    return f"|{name}|{values['snt']}|{values['wrd']}|{'|'.join(parts)}|"


def tables(name: str, sets: Dict[str, Dict[str, Dict[str, Any]]]) -> str:
    """ESPnet's tables, one per measure, and one with the intervals.

    Args:
        name: What stands before the name of the set in each row.
        sets: {set: {measure: figures}}.

    Returns:
        Markdown.
    """
    sets = {s: sets[s] for s in in_order(sets)}
    measures = list(next(iter(sets.values())))
    lines = []
    for measure in measures:
        if measure == INTENT:
            lines += ["### Intent", "", INTENT_HEAD]
            for s, values in sets.items():
                v = values[measure]
                accuracy = percent(v["corr"], v["snt"])
                lines.append(f"|{name}/{s}|{v['snt']}|{accuracy}|")
        else:
            lines += [f"### {measure.upper()}", "", HEAD]
            lines += [row(f"{name}/{s}", values[measure]) for s, values in sets.items()]
        lines.append("")
    rows, said = [], []
    for s, values in sets.items():
        for measure, v in values.items():
            if "interval" not in v:
                continue
            label = "intent accuracy" if measure == INTENT else measure.upper()
            (low, high), by = v["interval"], v.get("drawn", "-")
            text = f"|{name}/{s}|{label}|{v['rate']:.2f}|{low:.2f} - {high:.2f}|{by}|"
            if "against" in v:
                (low, high), a = v["against"]["interval"], v["against"]["difference"]
                text += f"{a:+.2f} ({low:+.2f} - {high:+.2f})|"
            rows.append(text)
            said.append(by)
    if rows:
        more = any("against" in v for values in sets.values() for v in values.values())
        head = "|dataset|measure|rate|interval|drawn by|" + "difference|" * more
        lines += ["### 95 % intervals (bootstrap)", "", head]
        lines += ["|---|---|---|---|---|" + "---|" * more, *rows, ""]
        lines += [few(said), ""] if few(said) else []
    return "\n".join(lines)


def share(value: float, dense: Optional[float]) -> str:
    """Say in parentheses what remains of the dense model's, if it is another number."""
    return f" ({value / dense:.0%})" if dense and value != dense else ""


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A padded Markdown table; the first line is the head, the first column text."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rows = []
    for n, line in enumerate(lines):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ]
        rows.append("| " + " | ".join(cells) + " |")
        if n == 0:
            marks = ["-" * (widths[0] + 2)] + ["-" * (w + 1) + ":" for w in widths[1:]]
            rows.append("|" + "|".join(marks) + "|")
    return "\n".join(rows)
