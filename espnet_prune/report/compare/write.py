# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""RESULTS.md of a comparison: tables from its rows, times in turns, pictures."""

from pathlib import Path
from typing import Any, Dict, List, Sequence

from espnet_prune.report import pareto, plots, results
from espnet_prune.report.bootstrap import few
from espnet_prune.report.compare import rows as row_files
from espnet_prune.report.compare import tables
from espnet_prune.report.compare.agreement import add_agreement
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point
from espnet_prune.report.compare.scores import MEASURES, rate_text
from espnet_prune.report.compare.times import ONNX
from espnet_prune.report.scoring import INTENT
from espnet_prune.utils import atomic_write, read_json, write_json

Line = tables.Line


def how(lines: Sequence[Line], against: str) -> str:
    """Say what the figures of a table are."""
    by = {s: v["drawn"] for s, v in lines[0]["scores"][MEASURES[0]].items()}
    drawn_by = ", ".join(f"{s}: {number}" for s, number in by.items())
    text = "Error rates in percent over all seeds together, with 95 % intervals by "
    text += f"bootstrap ({drawn_by}). {few(by.values())}".rstrip()
    return f"{text} Differences are to {against}, same seeds."


def pair_table(lines: Sequence[Line]) -> str:
    """The first method against the others of the same size or of none, or ""."""
    own = [line for line in lines if line["kind"] != "dense"]
    names = [name for _, name in sorted({(r["place"], r["name"]) for r in own})]
    if not names:
        return ""
    columns = [(s, m) for s in own[0]["scores"][MEASURES[0]] for m in MEASURES]
    found = [["model", "removed", "against"]]
    found[0] += [f"{m.upper()} {s}" for s, m in columns]
    for line in own:
        for name in names[1:] if line["name"] == names[0] else ():
            pairs = [tables.against(lines, line, name, m, s) for s, m in columns]
            if all(pairs):
                cells = [rate_text(pair, sign="+") for pair in pairs if pair]
                found.append([line["name"], tables.removed(line), name, *cells])
    return results.markdown(found) if len(found) > 1 else ""


# axes of pictures: key of a row, unit, name, and what the file is called by
AXES = {
    "depth": (1, "blocks that run", "by_depth"),
    "gmacs": (1, "GMACs of the encoder, 10 s", "over_macs"),
    "encoder_params": (1e-6, "million parameters in the encoder", "over_size"),
    "onnx_ms": (1, "milliseconds of the encoder in onnxruntime, 10 s", "over_ms"),
}


def figure(lines: Sequence[Line], key: str) -> Any:
    """WER over an axis, a line per method, effort in core minutes beside its points.

    Sizes and error rates span more than a decade each: both axes are logarithmic but
    for depth.
    """
    s = next(iter(lines[0]["scores"]["wer"]))
    drawn, axis = plots.drawing(7.0, 4.6)
    unit, label, _ = AXES[key]
    found = tables.numbers(lines, key, label)
    lines = [line for line, value in zip(lines, found) if value is not None]
    names = list(dict.fromkeys(line["name"] for line in lines))
    for i, name in enumerate(names):
        own = sorted((r for r in lines if r["name"] == name), key=lambda r: r[key])
        values = [line["scores"]["wer"][s] for line in own]
        rates = [v["rate"] for v in values]
        title = own[0].get("label", name)
        if own[0]["kind"].startswith("dense"):
            style = ("--", ":", "-.")[i % 3]
            axis.axhline(rates[0], color="0.5", linestyle=style, label=title)
            continue
        low = [max(r - v["interval"][0], 0) for r, v in zip(rates, values)]
        high = [max(v["interval"][1] - r, 0) for r, v in zip(rates, values)]
        # side by side, so that the bars do not hide each other
        aside = 1 + 0.008 * (i - len(names) / 2)
        at = [unit * line[key] * aside for line in own]
        bars = axis.errorbar(
            *(at, rates, [low, high]),
            **{"marker": "o^sDv"[i % 5], "markersize": 4, "linewidth": 1},
            **{"capsize": 2, "elinewidth": 0.5, "label": title},
            linestyle="-" if i < 10 else "--",  # colours come back
        )
        for x, y, line in zip(at, rates, own):
            colour = bars.lines[0].get_color()
            minutes = line.get("core_minutes")
            text = "" if minutes is None else f"{minutes:.0f} min"
            place = {"xytext": (3, 3), "textcoords": "offset points"}
            axis.annotate(text, (x, y), fontsize=5, color=colour, **place)
    if key != "depth":
        plots.plain_log(axis)
    axis.set_xlabel(label)
    axis.set_ylabel(f"WER {s}, %")
    axis.legend(fontsize=6)
    return drawn


def times(c: Comparison, points: Sequence[Point]) -> List[str]:
    """Measure models of the first seed in turns, and say and draw what came out.

    Raises:
        UserError: Two models were decoded differently.
    """
    chosen: Dict[Any, Point] = {}
    for point in points:
        own = row_files.entry(c, point)
        if own.config.is_file() and own.model.is_file() and own.decoded.is_dir():
            chosen.setdefault((point.row.name, point.size), point)
    if not chosen:
        return []
    entries = [row_files.entry(c, point) for point in chosen.values()]
    found = results.measure(entries, c.frames, c.runs)
    results.add_scores(found, entries)
    for point, values in zip(chosen.values(), found):
        path = row_files.path_of(c, point)
        row, own = read_json(path), row_files.sizes(values)
        if ONNX in row:  # all its times were measured together, see `write_times`
            own.pop("ms")
        write_json({**row, **own}, path)
    images = c.exp / "images"
    full, *others = found
    kept = [(row["name"], row["structure"]) for row in others]
    kept = [(name, widths) for name, widths in kept if widths != full["structure"]]
    remains = plots.remains_figure(full["structure"], kept)
    plots.save_png(remains, images / "remains.png")
    seen = pareto.points(found)
    plots.save_png(pareto.figure(seen), images / "pareto.png")
    fronts = {axis: pareto.front(seen, axis) for axis in pareto.AXES}
    best = [["model", "no other is better in WER and"]]
    for row in found:
        of = [pareto.AXES[a][0] for a in fronts if row["name"] in fronts[a]]
        best.append([row["name"], ", ".join(of) or "-"])
    seconds = results.seconds_of(c.frames, entries[0].config)
    text = ["Sizes and times of the models of the first seed, measured in turns:", ""]
    text += [results.compression_table(found, seconds), "", results.markdown(best), ""]
    return [*text, "![Error rate against size, cost and time](images/pareto.png)", ""]


def write(c: Comparison, points: Sequence[Point], command: str) -> str:
    """Write EXPDIR/RESULTS.md and its pictures from the rows that are there.

    Args:
        c: The comparison.
        points: Those that are finished.
        command: The command, for the record.

    Returns:
        str: The tables.

    Raises:
        UserError: Rows were decoded differently, or on other references.
    """
    if not points:
        return "nothing is finished yet"
    if not c.table:
        add_agreement(c, points)
    measured = [] if c.table else times(c, points)
    lines = tables.read_rows(Path(c.results), [point.name for point in points])
    sets = list(lines[0]["scores"][MEASURES[0]])
    parts = [tables.table(lines, c.columns)] if c.columns else []
    measures = [m for m in (INTENT, *MEASURES) if m in lines[0]["scores"]]
    for measure in () if c.columns else measures:
        columns = "model removed seeds encoder gmacs updates minutes".split()
        columns += [f"{measure}:{s}" for s in sets]
        some = dict.fromkeys([sets[0], sets[-1]])
        columns += [f"against:{c.against}:{measure}:{s}" for s in some]
        if c.table:
            columns = ["depth", "model", "runs", *columns[7:]]
            parts.append(tables.table(lines, by_depth=f"{measure}:{sets[0]}"))
        parts.append(tables.table(lines, columns))
    pairs = "" if c.table or c.columns else pair_table(lines)
    if pairs:
        parts += ["The first method against the others, on the seeds that both have:"]
        parts.append(pairs)
    text = ["# Comparison", "", *(f"- {k}: `{v}`" for k, v in results.environment())]
    text += [f"- command: `{command}`", "", how(lines, c.against), ""]
    text += ["\n\n".join(parts), "", *measured]
    axes = ["depth"] if c.table else [key for key in AXES if key != "depth"]
    for key in axes:
        if any(line.get(key) for line in lines):
            path = c.exp / "images" / f"wer_{AXES[key][2]}.png"
            plots.save_png(figure(lines, key), path)
            text += [f"![WER of every method](images/{path.name})", ""]
    with atomic_write(c.exp / "RESULTS.md") as stream:
        stream.write("\n".join(text))
    return "\n\n".join(parts if c.columns else [*parts, *measured[2:5:2]])
