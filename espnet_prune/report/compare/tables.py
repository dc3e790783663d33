# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The tables of a comparison, and of READMEs, from the JSON of its rows.

In a README a table stands between two marks, of which the first says what it is:

    <!-- rows {folder: results/compare, columns: [model, seeds, "wer:test"]} -->
    <!-- end of rows -->

`columns` are those of `NUMBERS` and `TEXTS`, MEASURE:SET and against:ROW:MEASURE:SET;
`names` chooses rows by their files, `digits` are those of error rates. `by_depth:
COLUMN` has a row per depth and a column per method, `by_size: COLUMN` a row per method
and a column per share that is removed.
"""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_prune.report import decoding
from espnet_prune.report.compare.scores import (
    AGREE,
    MEASURES,
    difference,
    over_seeds,
    rate_text,
)
from espnet_prune.report.scoring import INTENT
from espnet_prune.report.tables import markdown, share
from espnet_prune.utils import UserError, atomic_write, check_keys, read_json, read_utf8

Line = Dict[str, Any]  # a row's JSON, over its seeds; `runs` by seed and draw
MARKS = re.compile(
    r"^(<!-- rows (\{.*?\}) -->\n)(.*?)^(<!-- end of rows -->)", re.M | re.S
)
FORMS = ("columns", "by_depth", "by_size")
KEYS = ("folder", "names", *FORMS, "digits", "if_none")
TIMES = ("ms", "onnx_ms", "ctc_ms", "beam_ms")  # all of one run, which `timed` names


def read_rows(folder: Path, names: Sequence[str] = ()) -> List[Line]:
    """Rows of a comparison in the order of tables, seeds joined.

    Args:
        folder: Where the JSON files are.
        names: Of the files, without .json; all by default.

    Raises:
        UserError: There are none, or two were decoded differently.
    """
    paths = [folder / f"{name}.json" for name in names] or sorted(folder.glob("*.json"))
    found = {path.stem: read_json(path) for path in paths}
    if not found:
        raise UserError(f"{folder}: no rows are there; run the comparison first")
    decoding.require_same({name: row.get("decoding") for name, row in found.items()})
    groups: Dict[Tuple[Any, ...], List[Line]] = {}
    for name, row in found.items():
        key = (row["name"], at(row), name if row.get("converted") else "")
        groups.setdefault(key, []).append(row)
    lines = [joined(rows, folder) for rows in groups.values()]
    return sorted(lines, key=lambda r: (-r.get("depth", 0), at(r), r["place"]))


def joined(rows: Sequence[Line], folder: Path) -> Line:
    """One line of several seeds; sizes are of the first that has them.

    So are times where no run is told; otherwise they are those of the last run.
    """
    rows = sorted(rows, key=lambda r: (r.get("seed") or 0, r.get("draw") or 0))
    line: Line = {}
    for row in reversed(rows):
        line.update({k: v for k, v in row.items() if v is not None or k not in line})
    timed = [row for row in rows if row.get("timed")]
    if timed:
        last = max(timed, key=lambda row: row["timed"])
        line.update({key: last.get(key) for key in ("timed", *TIMES)})
    if line.get("converted"):
        return line
    line["seeds"] = sorted({r["seed"] for r in rows} - {None})
    line["runs"] = {(r["seed"], r.get("draw")): r["scores"] for r in rows}
    line["scores"] = {
        measure: {
            s: over_seeds([r["scores"][measure][s] for r in rows], str(folder), measure)
            for s in sets
        }
        for measure, sets in line["scores"].items()
        if all(measure in r["scores"] for r in rows)  # agreement wants a dense model
    }
    return line


def at(line: Line) -> float:
    """Depth or percent removed."""
    return line.get("depth", line.get("size"))


def against(
    lines: Sequence[Line], line: Line, name: str, measure: str, s: str
) -> Optional[Mapping[str, Any]]:
    """The difference to another row of the same size or of none, None without it.

    Random draws are compared with the one run of the other.
    """
    if line.get("converted"):
        return line.get("against", {}).get(name, {}).get(measure, {}).get(s)
    for other in lines:
        if other["name"] != name or at(other) not in (at(line), 0) or other is line:
            continue
        pairs = [
            (scores[measure][s], other["runs"][seed, 0][measure][s])
            for (seed, _), scores in line["runs"].items()
            if (seed, 0) in other.get("runs", ()) and measure in scores
        ]
        return difference(pairs, f"{line['name']} and {name}") if pairs else None
    return None


def removed(line: Line) -> str:
    """What was asked to be removed and, where it is known, of what."""
    if not line.get("size"):
        return ""
    budget = line.get("budget")
    budgets = budget if isinstance(budget, list) else [budget]
    of_all = {one.get("kind") for one in budgets if isinstance(one, dict)}
    kind = of_all.pop() if len(of_all) == 1 else None
    of = {"params": "parameters", "macs": "MACs"}.get(str(kind), kind)
    return f"{line['size']:g} %" + (f" of the {of}" if of else "")


# head, key of a row, unit, form, and whether a share of the first is said
NUMBERS = {
    "encoder": ("encoder", "encoder_params", 1e-6, "{:.3g} M", True),
    "parameters": ("all parameters", "total_params", 1e-6, "{:.3g} M", False),
    "gmacs": ("GMACs, 10 s", "gmacs", 1, "{:.3g}", True),
    "mb": ("MB", "bytes", 1e-6, "{:.1f}", False),
    "ms": ("encoder ms", "ms", 1, "{:.1f}", True),
    "onnx_ms": ("ONNX encoder ms", "onnx_ms", 1, "{:.1f}", True),
    "ctc_ms": ("CTC greedy ms", "ctc_ms", 1, "{:.1f}", True),
    "beam_ms": ("beam search ms", "beam_ms", 1, "{:.0f}", True),
    "minutes": ("core minutes", "core_minutes", 1, "{:.3g}", False),
    "updates": ("updates", "updates", 1, "{}", False),
    "depth": ("depth", "depth", 1, "{:g}", False),
}
HEADS = {AGREE: "words unlike those of dense,", INTENT: "intent accuracy"}
TEXTS: Dict[str, Callable[[Line], str]] = {
    "model": lambda line: line["name"],
    "label": lambda line: line.get("label", line["name"]),
    "removed": removed,
    "seeds": lambda line: " ".join(map(str, line["seeds"])),
    "runs": lambda line: str(len(line["runs"])),
}


def numbers(lines: Sequence[Line], key: str, head: str) -> List[Any]:
    """What lines have of a key; of times those of one run, others are None.

    It is the run that most lines are from, the later of two: a machine is not as fast
    as it was, or is another one.
    """
    found = [line.get(key) for line in lines]
    if key not in TIMES:
        return found
    runs = [line.get("timed") or "" for line in lines]
    counts = Counter(run for run, v in zip(runs, found) if v is not None)
    if len(counts) < 2:
        return found
    kept = max(counts, key=lambda run: (counts[run], run))
    logging.warning(
        f"{head}: {sum(counts.values()) - counts[kept]} of {sum(counts.values())} are "
        "of another run and left out; --times measures all together"
    )
    return [v if run == kept else None for run, v in zip(runs, found)]


def column(name: str, lines: Sequence[Line], digits: int = 2) -> List[str]:
    """A column, its head first.

    Raises:
        UserError: No such column.
    """
    kind, *rest = name.split(":")
    if name in NUMBERS:
        head, key, unit, form, shared = NUMBERS[name]
        found = numbers(lines, key, head)
        first = found[0] if shared else None
        cells = [
            "" if v is None else form.format(v * unit) + share(v, first) for v in found
        ]
    elif name in TEXTS:
        head = "model" if name == "label" else name
        cells = [TEXTS[name](line) for line in lines]
    elif kind in (*MEASURES, *HEADS) and len(rest) == 1:
        head = f"{HEADS.get(kind, kind.upper())} {rest[0]}"
        found = [line["scores"].get(kind, {}).get(rest[0]) for line in lines]
        cells = [rate_text(v, digits) if v else "" for v in found]
    elif kind == "against" and len(rest) == 3:
        head = HEADS.get(rest[1], rest[1].upper())
        head = f"{head} against {rest[0]}, {rest[2]}"
        pairs = [against(lines, line, *rest) for line in lines]
        cells = [rate_text(pair, digits, "+") if pair else "" for pair in pairs]
    else:
        raise UserError(
            f"columns: unknown '{name}'; known are {', '.join([*TEXTS, *NUMBERS])}, "
            "MEASURE:SET, intent:SET, agree:SET and against:ROW:MEASURE:SET"
        )
    return [head, *cells]


def table(
    lines: Sequence[Line],
    columns: Sequence[str] = (),
    digits: int = 2,
    by_depth: str = "",
    by_size: str = "",
) -> str:
    """Markdown: a row per line, per depth or per method, see the head of this file."""
    if by_size:
        return _by_size(lines, by_size, digits)
    if not by_depth:
        return markdown(list(zip(*(column(name, lines, digits) for name in columns))))
    methods = [line["name"] for line in sorted(lines, key=lambda r: r["place"])]
    methods = list(dict.fromkeys(methods))
    keys = [(f"{line['depth']:g}", line["name"]) for line in lines]
    cells = dict(zip(keys, column(by_depth, lines, digits)[1:]))
    rows = [
        [depth, *(cells.get((depth, method), "") for method in methods)]
        for depth in dict.fromkeys(depth for depth, _ in keys)
    ]
    return markdown([["blocks", *methods], *rows])


def _by_size(lines: Sequence[Line], name: str, digits: int) -> str:
    """Markdown: a row per method, a column per share; what is whole comes first."""
    lines = sorted(lines, key=lambda r: (r["place"], at(r)))
    sizes = sorted({at(line) for line in lines})
    cells: Dict[str, Dict[float, str]] = {}
    for line, cell in zip(lines, column(name, lines, digits)[1:]):
        cells.setdefault(line.get("label", line["name"]), {})[at(line)] = cell
    head = ["whole" if not size else f"-{size:g} %" for size in sizes]
    rows = [[label, *(own.get(s, "") for s in sizes)] for label, own in cells.items()]
    return markdown([["model", *head], *rows])


def render(text: str, folder: Path) -> str:
    """A README with all its tables made anew.

    Args:
        text: Its content.
        folder: Its directory.

    Raises:
        UserError: A mark says what cannot be.
    """
    import yaml

    def made(found: Any) -> str:
        mark = f"<!-- rows {found[2]} -->"
        try:
            data = yaml.safe_load(found[2])
        except yaml.YAMLError as error:
            raise UserError(f"{mark}: not YAML ({error})") from error
        check_keys(data, KEYS, mark)
        if "folder" not in data or not set(FORMS) & data.keys():
            raise UserError(f"{mark}: folder is needed, and {' or '.join(FORMS)}")
        where, none = folder / data.pop("folder"), data.pop("if_none", None)
        if none and not any(where.glob("*.json")):
            return f"{found[1]}{none}\n{found[4]}"
        lines = read_rows(where, data.pop("names", ()))
        return f"{found[1]}{table(lines, **data)}\n{found[4]}"

    return MARKS.sub(made, text)


def update_readme(path: Path) -> bool:
    """Write a README whose tables differ from their rows; returns whether it did."""
    text = read_utf8(path)
    new = render(text, path.parent)
    if new == text:
        return False
    with atomic_write(path) as stream:
        stream.write(new)
    return True
