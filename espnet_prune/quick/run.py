# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command `quick`: load, calibrate, cut, verify, recover, and say what came out."""

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping

from espnet_prune.data.tables import Table
from espnet_prune.hugging_face.directory import is_saved
from espnet_prune.hugging_face.write import write_beside
from espnet_prune.measure.latency_table import described
from espnet_prune.models import load_model, read_model_config
from espnet_prune.quick.path import path_of, write_size
from espnet_prune.quick.setting import Setting, prepare
from espnet_prune.quick.state import MODEL, asked_of, begin, check_folder
from espnet_prune.quick.table import before_and_after, changes, of_sizes
from espnet_prune.quick.target import Target, parse_target
from espnet_prune.report.parts import recognition
from espnet_prune.report.results import Entry, environment, measure
from espnet_prune.select.run import TOLD
from espnet_prune.source import Source, find_model
from espnet_prune.utils import (
    atomic_write,
    check_gpus,
    read_mapping,
    write_json,
    write_yaml,
)

RESULT, PAGE = "quick.json", "quick.md"
BEFORE, AFTER, CUT, RECOVERED = "before", "after", "cut", "recovered"
CONFIG = "config.yaml"
# what goes with a model; the proof is of the cut one
BESIDE = {RECOVERED: ["structure.json", "cost.json"]}
BESIDE[CUT] = [*BESIDE[RECOVERED], "verify.json"]
RUNS = 9  # of an encoder that is timed


def quick(args: argparse.Namespace) -> None:
    """Make a model smaller, and print what came out; see `espnet_prune.bin.quick`.

    Args:
        args: Its command line.

    Raises:
        UserError: Bad input, before any long work.
    """
    import torch

    torch.set_flush_denormal(True)
    began, folder = time.perf_counter(), Path(args.output_dir)
    target = parse_target(args.target)
    check_gpus(args.ngpu)
    check_folder(folder)
    source = find_model(args.model, folder / MODEL)
    result = begin(folder, asked_of(args, source, "quick"), RESULT)
    if result is None:
        if args.recover is not None:
            from espnet_prune.quick.recover import check_recovery

            check_recovery(read_model_config(source.config, args.task), args.recover)
        setting = prepare(args, folder, source)
        loaded = time.perf_counter()
        result = carry_out(setting, target.budget)
        done = time.perf_counter()
        result["seconds"].update(loading=loaded - began, all=done - began)
        like = Path(args.model)
        if is_saved(like):
            result["about"]["Hugging Face"] = write_beside(folder, like)
        result = {"target": args.target, **result, "made_by": dict(environment())}
        with atomic_write(folder / PAGE) as stream:
            stream.write(page(result))
        write_json(result, folder / RESULT)
    print(page(result), file=sys.stderr)
    print(json.dumps(line_of(result)))


def carry_out(setting: Setting, budget: Any) -> Dict[str, Any]:
    """Prune, recover if that is asked for, and measure before and after.

    Args:
        setting: Model and audio.
        budget: As a configuration says it.

    Returns:
        What quick.json holds.
    """
    args, folder, hearing = setting.args, setting.folder, setting.hearing
    clock = {"start": time.perf_counter()}
    targets = sizes_of(setting, budget) if args.sizes else []
    path = path_of(setting, targets[-1].budget if targets else budget)
    clock["calibrating"] = time.perf_counter()
    where = folder if args.recover is None else folder / CUT
    small, told = write_size(path, setting, budget, where)
    files = {BEFORE: setting.source}
    files[AFTER] = Source(where / "config.yaml", where / "model.pth")
    clock["cutting"] = time.perf_counter()
    heard = {BEFORE: hearing.hear(setting.model, "dense")}
    heard[AFTER] = hearing.hear(small, CUT)
    if args.recover is not None:
        files[CUT], heard[CUT] = files.pop(AFTER), heard.pop(AFTER)
        told.update(recovered(setting, files, heard))
        clock["recovering"] = time.perf_counter()
    rows = [Entry(name, *source, folder) for name, source in files.items()]
    models = {row["name"]: row for row in measure(rows, runs=RUNS)}
    how = {"beam_size": args.beam_size}
    if getattr(setting.model, "ctc", None) is None:  # ESPnet's default wants one
        how["ctc_weight"] = 0.0
    times = recognition(files, how, entries=hearing.entries)
    clock["measuring"] = time.perf_counter()
    if targets:
        from espnet_prune.quick.sizes import write_sizes

        told["sizes"] = write_sizes(setting, path, targets)
        clock["sizes"] = time.perf_counter()
    last = told.get("kept", AFTER)
    changed = [k for k in heard[BEFORE] if heard[BEFORE][k] != heard[last][k]]
    return {
        **told,
        "model": {key: str(path) for key, path in setting.source._asdict().items()},
        "about": setting.about,
        "models": models,
        "recognition": times,
        "score": hearing.score(heard),
        "changed": len(changed),
        "examples": hearing.changed(heard[BEFORE], heard[last]),
        "seconds": spent(clock),
    }


def sizes_of(setting: Setting, budget: Any) -> List[Target]:
    """Return the sizes that are wanted beside a budget, the smallest last."""
    from espnet_prune.quick.sizes import USUAL, targets_of

    left = 1.0 - setting.plan(budget).budget.targets[0].sparsity
    return targets_of(setting, budget["kind"], len(USUAL), left)


def recovered(
    setting: Setting, files: Dict[str, Source], heard: Dict[str, Table]
) -> Dict[str, Any]:
    """Recover a cut model, and put into the output directory what is better.

    Args:
        setting: Model and audio.
        files: Models by name; the recovered one is added.
        heard: Their texts, too.

    Returns:
        {recovery: what was done, kept: the name of what is better}.
    """
    from espnet_prune.quick.recover import recover

    files[RECOVERED], done = recover(setting, files[CUT], setting.args.recover)
    model, _ = load_model(*files[RECOVERED])
    heard[RECOVERED] = setting.hearing.hear(model, RECOVERED)
    score = setting.hearing.score(heard)
    rows = score.get("errors", score["agreement"])
    rates = [rows[name]["rate"] for name in (CUT, RECOVERED)]
    kept = RECOVERED if rates[1] < rates[0] else CUT
    did = "lowers" if kept == RECOVERED else "does not lower"
    words = (
        f"the recovery {did} the error on audio kept aside ({rates[0]:.2f} % before, "
        f"{rates[1]:.2f} % after): the {kept} model is in {setting.folder}"
    )
    logging.info(words)
    config = read_mapping(files[kept].config)
    write_yaml({**config, "output_dir": str(setting.folder)}, setting.folder / CONFIG)
    copies = {"model.pth": files[kept].model_file}
    copies.update({n: files[CUT].config.parent / n for n in BESIDE[kept]})
    for name, path in copies.items():
        with atomic_write(setting.folder / name, "wb") as stream:
            stream.write(Path(path).read_bytes())
    return {"recovery": done, "kept": kept, "verdict": words}


def spent(clock: Mapping[str, float]) -> Dict[str, float]:
    """Return the seconds between the times of a clock, by the name of the later."""
    names = list(clock)
    return {b: clock[b] - clock[a] for a, b in zip(names, names[1:])}


def page(result: Mapping[str, Any]) -> str:
    """Return what a person reads: the table, the changes, how long it took."""
    lines: List[str] = [before_and_after(result), ""]
    whole = result["score"]["utterances"]
    lines.append(changes(result["examples"], result["changed"], whole))
    if "sizes" in result:
        lines += ["", of_sizes(result["sizes"])]
    lines += [""] + ([result["verdict"]] if "verdict" in result else [])
    lines += [*(f"{name}: {words}" for name, words in result["about"].items())]
    lines += [described(result["ms"])] if "ms" in result else []
    took = ", ".join(f"{k} {v:.0f} s" for k, v in result["seconds"].items())
    return "\n".join([*lines, f"took: {took}", ""])


def line_of(result: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the line of JSON that a program reads."""
    keys = ("target", *TOLD, "verify", "score", "kept", "recovery", "seconds")
    found = {key: result[key] for key in keys if key in result}
    own = ("encoder_params", "total_params", "gmacs")
    for name, row in result["models"].items():
        found[name] = {key: row[key] for key in own}
        found[name]["ms"] = row["latency"]["min_ms"]
    return found
