# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One row's JSON: what was measured, and with what."""

import os
import platform
import re
import shlex
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from espnet_prune.jobs.side_by_side import minutes_of
from espnet_prune.report import decoding
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point, named
from espnet_prune.report.compare.scores import read_scores
from espnet_prune.report.results import Entry, git, measure
from espnet_prune.utils import load_tensors, read_json, read_mapping

# a whole word, or one in a word that holds options, as that of --local_data_opts
ABSOLUTE = re.compile(r"^/.*|(?<=[\s='\"])/[^\s'\"]*", re.S)

SIZES = ("encoder_params", "total_params", "frames", "gmacs", "bytes", "sha256")


def machine() -> Dict[str, Any]:
    """The processor and its cores; nothing that tells one machine from its like."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return {"cpu": (names or [platform.machine()])[0].strip(), "cores": os.cpu_count()}


def made_with() -> Dict[str, Any]:
    """The code, its versions and the machine that a row is from."""
    from espnet_prune import __version__

    return {
        "commit": git("rev-parse", "HEAD"),
        "versions": {
            "espnet_prune": __version__,
            "python": platform.python_version(),
            **decoding.releases(),
        },
        "machine": machine(),
    }


def public(words: Sequence[str]) -> str:
    """A command without the directories of this machine."""
    own = [ABSOLUTE.sub(lambda m: f"/path/to/{Path(m[0]).name}", w) for w in words]
    return shlex.join(["espnet-prune", "compare", *own])


def updates_of(exp: Path) -> Optional[int]:
    """Steps of the optimizer in a training directory, None where it did not train."""
    path, config = exp / "checkpoint.pth", exp / "config.yaml"
    if not (path.is_file() and config.is_file()):
        return None
    stats = (load_tensors(path, mmap=True).get("reporter") or {}).get("stats")
    if not stats:
        return None
    count = stats[max(stats)]["train"]["total_count"]
    return count // int(read_mapping(config).get("accum_grad") or 1)


def core_minutes(c: Comparison, point: Point) -> Optional[float]:
    """Core minutes of a point's jobs; of a row that another one has cut, of both.

    Depths of one model share the minutes of its one training.
    """
    names = [point.exp.name if point.row.kind == "blocks" else point.name]
    if point.row.cut:
        names.append(named(c.rows[point.row.cut], point.size, point.seed))
    found = [minutes_of(c.exp / "log", name) for name in names]
    return None if None in found else round(sum(filter(None, found)), 2)


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
    files = (point.exp / "config.yaml", point.exp / c.model)
    return Entry(name, *files, where_decoded(c, point))


def sizes(found: Mapping[str, Any]) -> Dict[str, Any]:
    """What a row keeps of what `results.measure` has found."""
    time = (found.get("latency") or {}).get("min_ms")
    return {**{key: found.get(key) for key in SIZES}, "ms": time}


def describe(
    c: Comparison, point: Point, inputs: str, command: str
) -> Optional[Dict[str, Any]]:
    """A row's JSON, None where its results are not there.

    Args:
        c: The comparison.
        point: The row, of one size and seed.
        inputs: A hash of what it was made from.
        command: The command line.
    """
    decoded = where_decoded(c, point)
    scores = read_scores(decoded, c.test_sets, c.raw)
    if not scores:
        return None
    own, note = entry(c, point), decoded / decoding.FILE
    kept = point.exp / "cut" / "structure.json"
    parts = [updates_of(point.exp / name) for name in ("select/train", "")]
    updates = sum(part or 0 for part in parts) if any(parts) else None
    # nothing is known of a model that was there already
    known = updates is not None or point.row.kind in ("prune", "blocks")
    priced = {}
    if own.model.is_file() and not c.table:
        priced = sizes(measure([own], c.frames, runs=0)[0])
    return {
        "name": point.row.name,
        **({"label": point.row.label} if point.row.label else {}),
        "kind": point.row.kind,
        "depth" if c.table else "size": point.size,
        "seed": point.seed,
        "draw": point.draw,
        "place": point.row.place,
        "budget": read_json(kept)["provenance"]["budget"] if kept.is_file() else None,
        **priced,
        "updates": updates,
        "core_minutes": core_minutes(c, point) if known else None,
        "scores": scores,
        "decoding": read_json(note) if note.is_file() else {},
        "command": command,
        **made_with(),
        "inputs": inputs,
    }


def path_of(c: Comparison, point: Point) -> Path:
    """Where a row's JSON is."""
    return Path(c.results) / f"{point.name}.json"
