# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gather what a recipe has produced, and write it as RESULTS.md and one table."""

import datetime
import filecmp
import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from espnet_prune.report import decoding
from espnet_prune.report.scoring import INTENT
from espnet_prune.report.tables import in_order, markdown, share, tables
from espnet_prune.utils import UserError, read_json, read_mapping, sha256


class Entry(NamedTuple):
    """One row of the table: a name, its model, and where its decoded text lies."""

    name: str
    config: Path
    model: Path
    decoded: Path


def entries(dense: Path, pruned: Path, model: str, decode: str) -> List[Entry]:
    """The rows of a recipe's run: dense, cut, and, where it was, recovered.

    Args:
        dense: Experiment directory of the dense model.
        pruned: Experiment directory of the recovered model, which holds cut/.
        model: File name of the checkpoints in both.
        decode: Name of the decoding directories.

    Raises:
        UserError: A model is missing.
    """
    cut = pruned / "cut"
    models = {"dense": (dense, model), "pruned": (cut, "model.pth")}
    models["pruned + recovered"] = (pruned, model)
    rows = [
        Entry(name, exp / "config.yaml", exp / file, exp / decode)
        for name, (exp, file) in models.items()
    ]
    for row in rows:
        for path in (row.config, row.model):
            if not path.is_file():
                raise UserError(f"{path} is missing: run the earlier stages first")
    if filecmp.cmp(cut / "model.pth", pruned / model, shallow=False):
        return [rows[0], rows[2]._replace(name="pruned")]  # no recovery was wanted
    return rows


def measure(
    rows: Sequence[Entry], frames: Optional[int] = None, runs: int = 15
) -> List[Dict[str, Any]]:
    """Size, cost and speed of the models, the speeds measured in turns.

    Args:
        rows: See `entries`.
        frames: Length of the utterance in input frames; those that each model makes
            of 10 s by default.
        runs: Measured runs of each encoder; with 0 there are no speeds.

    Returns:
        One mapping for each row.

    Raises:
        UserError: A checkpoint does not fit its config.
    """
    from espnet_prune.families import whole_graph
    from espnet_prune.measure.cost import WHOLE, cost, part_costs
    from espnet_prune.measure.duration import frames_of
    from espnet_prune.measure.latency import as_json, input_of, measure_latency
    from espnet_prune.measure.tokens import priced
    from espnet_prune.models import load_model

    result, encoders, lengths, inputs = [], {}, {}, {}
    for row in rows:
        model, config = load_model(row.config, row.model)
        graph, length = whole_graph(model), frames or frames_of(config)
        encoders[row.name], lengths[row.name] = model.encoder, length
        inputs = inputs or input_of(graph)
        kept = priced(graph.dense, config)
        price = cost(kept, length, WHOLE)
        result.append(
            {
                "name": row.name,
                "config": str(row.config),
                "model": str(row.model),
                "sha256": sha256(row.model),
                "encoder_params": price.params,
                "total_params": sum(p.numel() for p in model.parameters()),
                "frames": length,
                "gmacs": price.macs / 1e9,
                "bytes": os.path.getsize(row.model),
                "latency": 0,
                "parts": part_costs(kept, length),
                "structure": kept[WHOLE].widths(),
            }
        )
    if runs:
        times = measure_latency(encoders, frames=lengths, **inputs, runs=runs)
        for row in result:
            row["latency"] = as_json(times[row["name"]], times[rows[0].name])
    return result


def add_scores(found: List[Dict[str, Any]], rows: Sequence[Entry]) -> None:
    """Add the content of every score.json that is there, and how it was decoded.

    Raises:
        UserError: Two models were decoded differently.
    """
    for values, row in zip(found, rows):
        path = row.decoded / "score.json"
        values["scores"] = read_json(path)["sets"] if path.is_file() else {}
        path = row.decoded / decoding.FILE
        values["decoding"] = read_json(path) if path.is_file() else {}
    decoding.require_same({values["name"]: values["decoding"] for values in found})


def made_by(found: Sequence[Mapping[str, Any]]) -> str:
    """Say in a line by which releases, and how, a table's figures were made."""
    notes = [values["decoding"] for values in found if values.get("decoding")]
    here = ", ".join(f"{k} {v}" for k, v in decoding.releases().items())
    if not notes:
        return f"Measured by {here}."
    return f"Measured by {here}; decoded with {decoding.described(notes[0])}."


def seconds_of(frames: Optional[int], config: Path) -> float:
    """Return the length in seconds of the utterance that `measure` takes.

    Args:
        frames: See `measure`.
        config: config.yaml of one of the models.
    """
    from espnet_prune.measure.duration import SECONDS, frames_of

    if frames is None:
        return SECONDS
    return frames * SECONDS / frames_of(read_mapping(config))


def compression_table(found: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """The one table: intents if there are any, error rates, sizes, cost and time.

    Args:
        found: Result of `measure` with scores, the dense model first.
        seconds: Length of the utterance that was measured.

    Returns:
        Markdown, padded so that it reads well in a terminal, too.
    """
    sets = in_order(dict.fromkeys(s for row in found for s in row["scores"]))
    sets = [s for s in sets if "+" not in s] or sets
    shown = {"wer": "WER", "cer": "CER"}
    if any(INTENT in values for row in found for values in row["scores"].values()):
        shown = {INTENT: "intent acc.", **shown}
    head = ["model"]
    head += [f"{label} {s}".strip() for label in shown.values() for s in sets]
    head += ["enc. params", "all params", f"GMACs {seconds:.4g} s", "MB", "enc. ms"]
    lines: List[List[str]] = [head]
    first = found[0]
    for row in found:
        line = [row["name"]]
        for measure_name in shown:
            for s in sets:
                values = row["scores"].get(s, {}).get(measure_name)
                line.append(f"{values['rate']:.1f}" if values else "-")
        for key in ("encoder_params", "total_params"):
            line.append(f"{row[key] / 1e6:.3g} M{share(row[key], first[key])}")
        line.append(f"{row['gmacs']:.3g}{share(row['gmacs'], first['gmacs'])}")
        line.append(f"{row['bytes'] / 1e6:.1f}")
        time, dense = row["latency"]["min_ms"], first["latency"]["min_ms"]
        line.append(f"{time:.1f}{share(time, dense)}")
        lines.append(line)
    return markdown(lines)


def git(*words: str) -> Optional[str]:
    """Output of git in the current directory, None if there is none."""
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def environment() -> List[Tuple[str, str]]:
    """What the results were made with."""
    from espnet_prune import __version__

    items = [
        ("date", datetime.datetime.now().strftime("%a %b %d %H:%M:%S %Y")),
        ("python version", platform.python_version()),
        ("espnet version", f"espnet {decoding.version_of('espnet')}"),
        ("pytorch version", f"pytorch {decoding.version_of('torch')}"),
        ("espnet_prune version", __version__),
        ("machine", f"{platform.machine()}, {os.cpu_count()} cores"),
    ]
    commit = git("rev-parse", "HEAD")
    if commit:
        items.append(("Git hash", commit))
        items.append(("Commit date", git("log", "-1", "--format=%cd") or ""))
    return items


def results_md(
    found: Sequence[Mapping[str, Any]],
    rows: Sequence[Entry],
    table: str,
    provenance: Mapping[str, Any],
    command: str,
) -> str:
    """RESULTS.md in ESPnet's form: environments, then the tables of every model.

    Args:
        found: Result of `measure` with scores.
        rows: See `entries`.
        table: See `compression_table`.
        provenance: That of structure.json: method, budget, seed, dense model.
        command: The command that has made the report.
    """
    lines = ["# RESULTS", "", "## Environments", ""]
    lines += [f"- {key}: `{value}`" for key, value in environment()]
    lines += ["", "## Compression", "", table, "", made_by(found), ""]
    lines += [f"- {key}: `{value}`" for key, value in provenance.items()]
    lines += [f"- report: `{command}`", ""]
    for values, row in zip(found, rows):
        lines += [f"## {row.name}", ""]
        lines += [f"- config: {row.config}", f"- model: {row.model}"]
        lines += [f"- sha256: `{values['sha256']}`"]
        lines += [f"- parameters: {values['total_params'] / 1e6:.2f} M", ""]
        if values["scores"]:
            lines += [tables(row.decoded.name, values["scores"])]
    return "\n".join(lines).rstrip() + "\n"
