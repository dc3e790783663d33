#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The tables of compare.sh: every method at every size, averaged over the seeds."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from compare_scores import (
    MEASURES,
    Draw,
    Found,
    Point,
    all_figures,
    difference_text,
    find,
    first_against_others,
    rate_text,
    read_speakers,
    shown,
)

from espnet_prune.report.bootstrap import few
from espnet_prune.report.results import environment, markdown
from espnet_prune.utils import atomic_write, write_json


def measured(
    points: Sequence[Point], decode: str, model: str, frames: Optional[int] = None
) -> Dict[Tuple[str, int], Dict[str, Any]]:
    """Sizes, cost and time of one model per method and size, that of the first seed.

    Returns:
        The result of `results.measure` by method and size, the dense model first; {} if
        there is no checkpoint yet.
    """
    from espnet_prune.report.results import Entry, add_scores, measure

    rows: Dict[Tuple[str, int], Entry] = {}
    for method, size, _, exp in points:
        name = f"{method} {size} %" if size else method
        row = Entry(name, exp / "config.yaml", exp / model, exp / decode)
        if row.config.is_file() and row.model.is_file() and row.decoded.is_dir():
            rows.setdefault((method, size), row)
    if not rows:
        return {}
    found = measure(list(rows.values()), frames)
    add_scores(found, list(rows.values()))
    return dict(zip(rows, found))


def collect(
    found: Found, costs: Mapping[Tuple[str, int], Mapping[str, Any]], draw: Draw
) -> List[Dict[str, Any]]:
    """One mapping per method and size."""
    dense = found.get(("dense", 0), {})
    rows = []
    for (method, size), seeds in found.items():
        price = costs.get((method, size), {})
        row: Dict[str, Any] = {
            "method": method,
            "size": size,
            "seeds": sorted(seeds),
            "encoder_params": price.get("encoder_params"),
            "gmacs": price.get("gmacs"),
            "scores": all_figures(seeds, dense, draw),
        }
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]], measure: str, sets: Sequence[str]) -> str:
    """Markdown: a row per method and size, rate and interval per set, test first."""
    if not rows:
        return "nothing is finished yet"
    sets = shown(sets)
    compared = list(dict.fromkeys([sets[0], sets[-1]]))
    lines = [["model", "removed", "seeds", "encoder", "GMACs"]]
    lines[0] += [f"{measure.upper()} {s}" for s in sets]
    lines[0] += [f"against dense, {s}" for s in compared]
    for row in sorted(rows, key=lambda r: (r["size"], r["method"] != "l0_kd")):
        params = row["encoder_params"]
        line = [row["method"], f"{row['size']} %" if row["size"] else "-"]
        line.append(" ".join(map(str, row["seeds"])))
        line.append(f"{params / 1e6:.3g} M" if params else "-")
        line.append(f"{row['gmacs']:.3g}" if row["gmacs"] else "-")
        for s in sets:
            line.append(rate_text(row["scores"][measure][s]))
        for s in compared:
            against = row["scores"][measure][s].get("against_dense")
            other = against and row["method"] != "dense"
            line.append(difference_text(against) if other else "-")
        lines.append(line)
    return markdown(lines)


def how(rows: Sequence[Mapping[str, Any]], sets: Sequence[str]) -> str:
    """Say what the figures of a table are."""
    text = "Error rates in percent over all seeds together, with 95 % intervals"
    if not rows:
        return f"{text}."
    by = {s: rows[0]["scores"][MEASURES[0]][s]["drawn"] for s in shown(sets)}
    drawn_by = ", ".join(f"{s}: {number}" for s, number in by.items())
    text += f" by bootstrap ({drawn_by}). {few(by.values())}".rstrip()
    return f"{text} Differences are to the dense models of the same seeds."


def pair_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of `first_against_others`."""
    columns = [(measure, s) for s in rows[0][MEASURES[0]] for measure in MEASURES]
    lines = [["model", "removed", "against", "seeds"]]
    lines[0] += [f"{measure.upper()} {s}" for measure, s in columns]
    for row in rows:
        line = [row["method"], f"{row['size']} %", row["other"]]
        line.append(" ".join(map(str, row["seeds"])))
        lines.append(line + [difference_text(row[m][s]) for m, s in columns])
    return markdown(lines)


def plot(rows: Sequence[Mapping[str, Any]], path: Path, name: str) -> None:
    """WER of one set over MACs, one line per method, intervals as bars."""
    from matplotlib.figure import Figure

    from espnet_prune.report.plots import save_png

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axis = figure.subplots()
    dense = [row for row in rows if row["method"] == "dense"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for i, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        own.sort(key=lambda row: -row["gmacs"])
        values = [row["scores"]["wer"][name] for row in own]
        rates = [v["rate"] for v in values]
        if method == "dense":
            axis.axhline(rates[0], color="0.5", linestyle="--", label=method)
            continue
        low = [max(r - v["interval"][0], 0) for r, v in zip(rates, values)]
        high = [max(v["interval"][1] - r, 0) for r, v in zip(rates, values)]
        # side by side, so that the bars do not hide each other
        widest = max(row["gmacs"] for row in rows)
        costs = [row["gmacs"] + 0.004 * widest * (i - len(methods) / 2) for row in own]
        axis.errorbar(costs, rates, [low, high], marker="o", capsize=3, label=method)
    if dense:
        axis.axvline(dense[0]["gmacs"], color="0.5", linestyle=":")
    axis.set_xlabel("GMACs of the encoder, 10 s")
    axis.set_ylabel(f"WER {name}")
    axis.legend(fontsize=8)
    save_png(figure, path)


def write(
    points: Sequence[Point],
    inference: str,
    model: str,
    sets: Sequence[str],
    expdir: Path,
    about: Mapping[str, Any],
    samples: int = 10000,
    dumpdir: Path = Path("dump"),
) -> str:
    """Write RESULTS.md, compare.json and pictures to `expdir`; return the tables.

    Args:
        points: All models of the comparison, finished or not.
        inference: Name of the configuration of decoding.
        model: File name of the checkpoints.
        sets: What was decoded.
        expdir: Where it goes.
        about: For the record.
        samples: Resamplings of the intervals.
        dumpdir: Where raw/SET/utt2spk is.
    """
    from espnet_prune.report.plots import save_png
    from espnet_prune.report.remains import remains_figure
    from espnet_prune.report.results import compression_table

    decode = f"{inference}_asr_model_{Path(model).stem}"
    costs = measured(points, decode, model)
    found = find(points, decode, sets)
    draw = Draw(samples, read_speakers(dumpdir / "raw", sets))
    rows = collect(found, costs, draw)
    pairs = first_against_others(found, sets, draw)
    tables = "\n\n".join(table(rows, measure, sets) for measure in MEASURES)
    lines = ["# Comparison", ""]
    lines += [f"- {k}: `{v}`" for k, v in [*about.items(), *environment()]]
    lines += ["", how(rows, sets), "", tables, ""]
    if pairs:
        lines += ["The first method against the others, on the seeds that both have:"]
        lines += ["", pair_table(pairs), ""]
    if costs:
        lines += ["Sizes and times of the models of the first seed, measured in turns:"]
        lines += ["", compression_table(list(costs.values()), 10.0), ""]
        dense, *others = costs.values()
        full = dense["structure"]
        runs = [
            (row["name"], row["structure"])
            for row in others
            if row["structure"] != full
        ]
        figure = remains_figure(full, runs)
        save_png(figure, expdir / "images" / "remains.png")
    with atomic_write(expdir / "RESULTS.md") as stream:
        stream.write("\n".join(lines))
    write_json(
        {"about": dict(about), "rows": rows, "pairs": pairs}, expdir / "compare.json"
    )
    if costs:
        plot(rows, expdir / "images" / "wer_over_macs.png", shown(sets)[0])
    return tables
