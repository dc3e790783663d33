# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Sizes of one model from one calibration: some at once, and any one later."""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from espnet_prune.quick.path import path_of, stored_path, write_size
from espnet_prune.quick.setting import Setting, prepare
from espnet_prune.quick.state import MODEL, asked_before, asked_of, begin, check_folder
from espnet_prune.quick.table import of_sizes
from espnet_prune.quick.target import Target, parse_target
from espnet_prune.report.results import Entry, measure
from espnet_prune.select.methods import budget_outlook
from espnet_prune.select.obs.path import RemovalPath
from espnet_prune.source import Source, find_model
from espnet_prune.utils import UserError, atomic_write, check_gpus, write_json

FOLDER, RESULT, PAGE, PLOT = "sizes", "sizes.json", "sizes.md", "sizes.png"
DENSE = "dense"
USUAL = (90, 80, 70, 60, 50, 40, 30, 20, 15, 10)  # percent that remain
RUNS = 9  # of every encoder that is timed


def sizes(args: argparse.Namespace) -> None:
    """Write some sizes of a model, or one more; see `espnet_prune.bin.sizes`.

    Args:
        args: Its command line.

    Raises:
        UserError: Bad input, before any long work.
    """
    import torch

    torch.set_flush_denormal(True)
    check_gpus(args.ngpu)
    folder = Path(args.output_dir)
    if args.target is not None:
        result = one_more(folder, args)
    else:
        for name in ("model", "audio"):
            if getattr(args, name) is None:
                raise UserError(f"--{name} is missing, or a --target; see --help")
        if args.points < 1:
            raise UserError(f"--points {args.points}: must be at least 1")
        check_folder(folder)
        source = find_model(args.model, folder / MODEL)
        found = begin(folder, asked_of(args, source, FOLDER), RESULT)
        result = found or begun(prepare(args, folder, source), args)
    print(of_sizes(result), file=sys.stderr)
    print(json.dumps(result))


def begun(setting: Setting, args: argparse.Namespace) -> Dict[str, Any]:
    """Calibrate down to the smallest size, and write all sizes."""
    targets = targets_of(setting, args.kind, args.points)
    path = path_of(setting, targets[-1].budget)
    return write_sizes(setting, path, targets)


def one_more(folder: Path, args: argparse.Namespace) -> Dict[str, Any]:
    """Write one more size into a directory that `quick` or `sizes` has filled.

    Raises:
        UserError: It is none of these, or the size is not on its path.
    """
    target = parse_target(args.target)
    asked = argparse.Namespace(**asked_before(folder), ngpu=args.ngpu)
    for name in ("model", "audio"):
        if getattr(args, name) is not None:
            raise UserError(f"--target takes the --{name} of {folder}; leave it out")
    setting = prepare(asked, folder, find_model(asked.model, folder / MODEL))
    path = stored_path(setting, target.budget)
    return write_sizes(setting, path, [target], folder / FOLDER / folder_of(target))


def targets_of(
    setting: Setting, kind: str, number: int, last: Optional[float] = None
) -> List[Target]:
    """Return sizes that can be reached, the largest first.

    Args:
        setting: The model.
        kind: "params", "macs" or "ms".
        number: How many.
        last: Share of another size that is wanted; it ends them, if it is smaller.
    """
    percents: Sequence[float] = USUAL
    if number != len(USUAL):
        step = (USUAL[0] - USUAL[-1]) / max(number - 1, 1)
        percents = [round(USUAL[0] - i * step) for i in range(number)]
    plan = setting.plan({"kind": kind, "sparsity": 0.5})
    (most,) = budget_outlook(plan)["at_most"].values()
    shares = [p / 100 for p in percents if 1 - p / 100 < most]
    if not shares:
        raise UserError(
            f"--points: of {kind} at most {most:.0%} can be removed from this model"
        )
    if last is not None and last < min(shares):
        shares.append(last)
    return [parse_target(f"{100 * share:.6g}%{kind}") for share in shares]


def folder_of(target: Target) -> str:
    """Return the name of a size's directory, e.g. params_50 or ms_40ms."""
    amount = target.text.strip()[: -len(target.kind)].strip().lower()
    unit = "" if target.relative else target.kind
    return re.sub(r"\s", "", f"{target.kind}_{amount.rstrip('%').strip()}{unit}")


def write_sizes(
    setting: Setting,
    path: RemovalPath,
    targets: Sequence[Target],
    folder: Optional[Path] = None,
) -> Dict[str, Any]:
    """Write sizes of a model, and what each is worth.

    Args:
        setting: Model and audio.
        path: The path that they are on.
        targets: The sizes.
        folder: Where the only one goes; by default each below `sizes/`, and what they
            are worth into the output directory.

    Returns:
        {kind, rows: [{name, folder, encoder_params, total_params, gmacs, ms, ...}],
        the dense model first; score: see `Hearing.score`; about; seconds}.
    """
    began, hearing = time.perf_counter(), setting.hearing
    files: Dict[str, Source] = {DENSE: setting.source}
    heard = {DENSE: hearing.hear(setting.model, DENSE)}
    told: Dict[str, Any] = {DENSE: {}}
    for target in targets:
        name, where = target.text, folder or setting.folder / FOLDER / folder_of(target)
        small, told[name] = write_size(path, setting, target.budget, where)
        files[name] = Source(where / "config.yaml", where / "model.pth")
        heard[name] = hearing.hear(small, name)
    rows = [Entry(name, *source, setting.folder) for name, source in files.items()]
    result: Dict[str, Any] = {
        "kind": targets[0].kind,
        "rows": [
            {
                "name": row["name"],
                "folder": str(Path(row["config"]).parent),
                **{k: row[k] for k in ("encoder_params", "total_params", "gmacs")},
                "ms": row["latency"]["min_ms"],
                **told[row["name"]],
            }
            for row in measure(rows, runs=RUNS)
        ],
        "score": hearing.score(heard),
        "about": setting.about,
        "seconds": time.perf_counter() - began,
    }
    where = folder or setting.folder
    draw(result, where / PLOT)
    with atomic_write(where / PAGE) as stream:
        stream.write(of_sizes(result) + "\n")
    write_json(result, where / RESULT)
    return result


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw error over parameters, MACs and milliseconds."""
    from espnet_prune.report.pareto import figure
    from espnet_prune.report.plots import save_png

    score = result["score"]
    rates = score.get("errors") or {DENSE: {"rate": 0.0}, **score["agreement"]}
    against = "" if "errors" in score else "against the dense model"
    found = [
        {
            "name": row["name"].replace(result["kind"], ""),
            "set": against,
            "wer": rates[row["name"]]["rate"],
            **{key: row[key] for key in ("encoder_params", "gmacs", "ms")},
        }
        for row in result["rows"]
    ]
    save_png(figure(found, score["measure"].upper()), path)
