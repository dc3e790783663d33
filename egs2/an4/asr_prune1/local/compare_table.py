#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The table of compare.sh: every method at every size, averaged over the seeds.

The intervals come from a bootstrap over utterances in which the errors of an utterance
are added up over the seeds; the difference to dense is paired by utterance and seed.
"""

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from espnet_prune.report.bootstrap import interval, paired
from espnet_prune.report.results import environment, markdown
from espnet_prune.utils import atomic_write, write_json

Point = Tuple[str, int, int, Path]  # method, size, seed, directory
MEASURES = ("wer", "cer")
_ID = re.compile(r"id: \((.+)\)\s*$")
_SCORES = re.compile(r"Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)")


class Utterances(NamedTuple):
    """Errors and reference tokens of a set, by utterance."""

    errors: Dict[str, int]
    words: Dict[str, int]


def read_result(path: Path) -> Utterances:
    """Read the counts per utterance from a result.txt, sclite's or ours."""
    errors, words, label = {}, {}, ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _ID.match(line)
        if found:
            label = found[1].lower()
        found = _SCORES.match(line)
        if found:
            corr, sub, dele, ins = map(int, found.groups())
            errors[label], words[label] = sub + dele + ins, corr + sub + dele
    return Utterances(errors, words)


def read_point(exp: Path, decode: str, sets: Sequence[str]) -> Dict[str, Any]:
    """Results of one model, {} if it is not finished.

    Returns:
        {(measure, set): Utterances}; the set "dev+test" is all sets together.
    """
    result: Dict[Any, Utterances] = {}
    for measure in MEASURES:
        paths = [exp / decode / s / f"score_{measure}" / "result.txt" for s in sets]
        if not all(path.is_file() for path in paths):
            return {}
        joint = Utterances({}, {})
        for s, path in zip(sets, paths):
            own = result[measure, s] = read_result(path)
            for whole, part in zip(joint, own):
                whole.update({f"{s}/{key}": value for key, value in part.items()})
        if len(sets) > 1:
            result[measure, "+".join(sets)] = joint
    return result


def measured(
    points: Sequence[Point], decode: str, model: str, frames: int = 1000
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


def figures(
    seeds: Mapping[int, Utterances],
    dense: Mapping[int, Utterances],
    samples: int,
) -> Dict[str, Any]:
    """Rate over all seeds, its interval, the rates by seed, and against dense."""
    keys = sorted(next(iter(seeds.values())).errors)
    errors = [sum(u.errors[k] for u in seeds.values()) for k in keys]
    words = [sum(u.words[k] for u in seeds.values()) for k in keys]
    by_seed = {
        seed: 100.0 * sum(u.errors.values()) / max(sum(u.words.values()), 1)
        for seed, u in seeds.items()
    }
    result: Dict[str, Any] = {
        "rate": 100.0 * sum(errors) / max(sum(words), 1),
        "by_seed": by_seed,
        "interval": list(interval(errors, words, samples=samples)),
    }
    if all(seed in dense for seed in seeds):
        others = [sum(dense[seed].errors[k] for seed in seeds) for k in keys]
        result["against_dense"] = paired(errors, others, words, samples=samples)
    return result


def collect(
    points: Sequence[Point],
    decode: str,
    costs: Mapping[Tuple[str, int], Mapping[str, Any]],
    sets: Sequence[str],
    samples: int,
) -> List[Dict[str, Any]]:
    """One mapping per method and size, in the order of the points."""
    found: Dict[Tuple[str, int], Dict[int, Dict[Any, Utterances]]] = {}
    for method, size, seed, exp in points:
        scores = read_point(exp, decode, sets)
        if scores:
            found.setdefault((method, size), {})[seed] = scores
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
            "scores": {},
        }
        for measure, s in next(iter(seeds.values())):
            row["scores"].setdefault(measure, {})[s] = figures(
                {seed: scores[measure, s] for seed, scores in seeds.items()},
                {seed: scores[measure, s] for seed, scores in dense.items()},
                samples,
            )
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]], measure: str) -> str:
    """Markdown: a row per method and size, rate and interval per set."""
    if not rows:
        return "nothing is finished yet"
    sets = list(rows[0]["scores"][measure])
    lines = [["model", "removed", "seeds", "encoder", "GMACs"]]
    lines[0] += [f"{measure.upper()} {s}" for s in sets] + ["against dense"]
    for row in sorted(rows, key=lambda r: (r["size"], r["method"] != "l0_kd")):
        params = row["encoder_params"]
        line = [row["method"], f"{row['size']} %" if row["size"] else "-"]
        line.append(" ".join(map(str, row["seeds"])))
        line.append(f"{params / 1e6:.3g} M" if params else "-")
        line.append(f"{row['gmacs']:.3g}" if row["gmacs"] else "-")
        for s in sets:
            v = row["scores"][measure][s]
            low, high = v["interval"]
            line.append(f"{v['rate']:.2f} [{low:.2f}, {high:.2f}]")
        against = row["scores"][measure][sets[-1]].get("against_dense")
        text = "-"
        if against and row["method"] != "dense":
            low, high = against["interval"]
            text = f"{against['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"
        lines.append(line + [text])
    return markdown(lines)


def plot(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """WER over MACs, one line per method, intervals as bars."""
    from matplotlib.figure import Figure

    from espnet_prune.report.plots import save_png

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axis = figure.subplots()
    dense = [row for row in rows if row["method"] == "dense"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for i, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        own.sort(key=lambda row: -row["gmacs"])
        values = [list(row["scores"]["wer"].values())[-1] for row in own]
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
    axis.set_ylabel(f"WER {title}")
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
    """
    from espnet_prune.report.plots import save_png
    from espnet_prune.report.remains import remains_figure
    from espnet_prune.report.results import compression_table

    decode = f"{inference}_asr_model_{Path(model).stem}"
    costs = measured(points, decode, model)
    rows = collect(points, decode, costs, sets, samples)
    tables = "\n\n".join(table(rows, measure) for measure in MEASURES)
    lines = ["# Comparison", ""]
    lines += [f"- {k}: `{v}`" for k, v in [*about.items(), *environment()]]
    lines += ["", "Error rates in percent over all seeds together, with 95 % intervals"]
    lines += ["(bootstrap over utterances); the last column is the difference to the"]
    lines += [f"dense models of the same seeds on {'+'.join(sets)}.", "", tables, ""]
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
    write_json({"about": dict(about), "rows": rows}, expdir / "compare.json")
    if costs:
        plot(rows, expdir / "images" / "wer_over_macs.png", "+".join(sets))
    return tables
