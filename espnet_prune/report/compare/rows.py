# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One row's JSON: what was measured, and with what."""

import os
import platform
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from espnet_prune.jobs.side_by_side import minutes_of
from espnet_prune.report import decoding
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point
from espnet_prune.report.compare.scores import read_scores
from espnet_prune.report.results import Entry, git, measure
from espnet_prune.utils import load_tensors, read_json, read_mapping, write_json

Row = Dict[str, Any]


def machine() -> Row:
    """The processor and its cores; nothing that tells one machine from its like."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpu": model, "cores": os.cpu_count()}


def public(words: Sequence[str]) -> str:
    """A command without the directories of this machine."""
    shown = [
        f"/path/to/{Path(word).name}" if os.path.isabs(word) else word for word in words
    ]
    return shlex.join(["espnet-prune", "compare", *shown])


def updates_of(exp: Path) -> Optional[int]:
    """Steps of the optimizer in a training directory, None where it did not train."""
    path, config = exp / "checkpoint.pth", exp / "config.yaml"
    if not (path.is_file() and config.is_file()):
        return None
    state = load_tensors(path, mmap=True).get("reporter") or {}
    stats = state.get("stats") or {}
    if not stats:
        return None
    count = stats[max(stats)]["train"]["total_count"]
    return count // int(read_mapping(config).get("accum_grad") or 1)


def all_updates(exp: Path) -> Optional[int]:
    """Steps of a selection and of what followed, or of a training."""
    parts = [updates_of(exp / name) for name in ("select/train", "")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def where_decoded(c: Comparison, point: Point) -> Path:
    """Directory of a point's decoded text."""
    if c.table:
        return c.exp / "points" / point.name / c.decode
    view = Path("exp/dense", point.exp.name)  # of a model from elsewhere
    if (view / c.decode).is_dir() and not (point.exp / c.decode).is_dir():
        return view / c.decode
    return point.exp / c.decode


def entry(c: Comparison, point: Point) -> Entry:
    """What `results.measure` wants of a point."""
    name = f"{point.row.name} {point.size:g} %" if point.size else point.row.name
    decoded = where_decoded(c, point)
    return Entry(name, point.exp / "config.yaml", point.exp / c.model, decoded)


def budget_of(exp: Path) -> Any:
    """The budget of a pruned model, as its structure.json says."""
    path = exp / "cut" / "structure.json"
    path = path if path.is_file() else exp / "structure.json"
    return read_json(path).get("budget") if path.is_file() else None


def add_sizes(row: Row, found: Row) -> None:
    """Copy what `results.measure` has found."""
    for key in ("encoder_params", "total_params", "frames", "gmacs", "bytes", "sha256"):
        row[key] = found.get(key)
    row["ms"] = (found.get("latency") or {}).get("min_ms")


def describe(
    c: Comparison, point: Point, inputs: str, command: str, frames: Optional[int]
) -> Optional[Row]:
    """A row's JSON, None where its results are not there.

    Args:
        c: The comparison.
        point: The row, of one size and seed.
        inputs: A hash of what it was made from.
        command: The command line.
        frames: Length of the utterance for GMACs; what makes 10 s by default.
    """
    from espnet_prune import __version__

    scores = read_scores(where_decoded(c, point), c.test_sets, c.raw)
    if not scores:
        return None
    note = where_decoded(c, point) / decoding.FILE
    row: Row = {
        "name": point.row.name,
        "kind": point.row.kind,
        "depth" if c.table else "size": point.size,
        "seed": point.seed,
        "draw": point.draw,
        "place": point.row.place,
        "budget": budget_of(point.exp) if point.row.kind == "prune" else None,
    }
    own = entry(c, point)
    if not c.table and own.model.is_file():
        add_sizes(row, measure([own], frames, runs=0)[0])
    whole = point.row.kind != "blocks"
    row.update(
        updates=all_updates(point.exp) if whole else None,
        core_minutes=minutes_of(c.exp / "log", point.name) if whole else None,
        scores=scores,
        decoding=read_json(note) if note.is_file() else {},
        command=command,
        commit=git("rev-parse", "HEAD"),
        versions={
            "espnet_prune": __version__,
            "python": platform.python_version(),
            **decoding.releases(),
        },
        machine=machine(),
        inputs=inputs,
    )
    return row


def path_of(c: Comparison, point: Point) -> Path:
    """Where a row's JSON is."""
    return Path(c.results) / f"{point.name}.json"


def is_finished(c: Comparison, point: Point, inputs: str) -> bool:
    """Whether a row's JSON is there, made from the same configurations."""
    path = path_of(c, point)
    return path.is_file() and read_json(path).get("inputs") == inputs


def add_times(c: Comparison, points: Sequence[Point], found: List[Row]) -> None:
    """Write the times, measured in turns, into the rows that are there."""
    for point, values in zip(points, found):
        path = path_of(c, point)
        if path.is_file():
            row = read_json(path)
            add_sizes(row, values)
            write_json(row, path)
