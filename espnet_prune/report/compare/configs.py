# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The configurations of a comparison: they differ only where their rows do."""

import collections
import copy
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from espnet_prune.report.compare.conf import Comparison, Row
from espnet_prune.utils import UserError, read_mapping

Conf = Dict[str, Any]
Effort = collections.Counter  # of updates or of epochs


def effort(conf: Mapping[str, Any], where: Optional[str]) -> Effort:
    """How long a configuration trains: updates where it tells them, or else epochs.

    Raises:
        UserError: It has no max_epoch.
    """
    epochs, steps = conf.get("max_epoch"), conf.get("num_iters_per_epoch")
    if not epochs:
        raise UserError(f"{where}: no max_epoch, without which efforts are not equal")
    return Effort(updates=epochs * steps) if steps else Effort(epochs=epochs)


def select_effort(path: Optional[str]) -> Effort:
    """Effort of a selection; none of a method that does not train."""
    conf = read_mapping(path) if path else {"method": None}
    if "train_conf" not in conf and conf.get("method", "l0") != "l0":
        return Effort()
    return effort(conf.get("train_conf") or {}, f"{path}: train_conf")


def total(c: Comparison) -> Optional[Effort]:
    """What every row has after the dense model; None where none is compared alike."""
    if c.table or not c.recover:
        return None
    return select_effort(c.select) + effort(read_mapping(c.recover), c.recover)


def stretch(conf: Conf, goal: Effort, where: Optional[str] = None) -> Conf:
    """The configuration with another effort.

    A learning rate that falls over a number of steps falls over as many more or less,
    so that it ends where it did.

    Raises:
        UserError: One is in epochs and the other in updates.
    """
    conf, before = copy.deepcopy(conf), effort(conf, where)
    if goal.keys() != before.keys():
        raise UserError(
            f"{where}: equal updates need num_iters_per_epoch in all configurations of "
            "training, or in none"
        )
    ((unit, number),) = goal.items()
    if unit == "updates":
        conf["max_epoch"] = max(1, round(number / conf["num_iters_per_epoch"]))
        conf["num_iters_per_epoch"] = round(number / conf["max_epoch"])
    else:
        conf["max_epoch"] = number
    schedule = conf.get("scheduler_conf") or {}
    for key in ("first_cycle_steps", "T_max", "total_steps"):
        if schedule.get(key):
            schedule[key] = round(schedule[key] * number / before[unit])
    return conf


def uniform_config(config: Conf, removed: float) -> Conf:
    """A stock encoder with about (1 - removed) of the parameters, depth unchanged.

    The model width and the feed-forward width shrink by the same factor; the last
    percents are met by the feed-forward width.
    """
    from espnet_prune.registry import register

    register()
    from espnet2.tasks.asr import encoder_choices

    dense = dict(config.get("encoder_conf") or {})
    make = encoder_choices.get_class(config["encoder"])
    mels = (config.get("frontend_conf") or {}).get("n_mels", 80)

    def size(conf: Conf) -> int:
        return sum(p.numel() for p in make(input_size=mels, **conf).parameters())

    heads = dense.get("attention_heads", 4)
    width, units = dense.get("output_size", 256), dense.get("linear_units", 2048)
    goal = (1.0 - removed) * size(dense)
    step = 2 * heads if (width // heads) % 2 == 0 else heads

    def shaped(d: int, f: int) -> Conf:
        return {**dense, "output_size": d, "linear_units": f}

    widths = range(step, width + 1, step)
    best = min(widths, key=lambda d: abs(size(shaped(d, units * d // width)) - goal))
    start = units * best // width
    slope = size(shaped(best, start + 1)) - size(shaped(best, start))
    exact = max(1, start + round((goal - size(shaped(best, start))) / slope))
    return {**config, "encoder_conf": shaped(best, exact)}


def shallow(config: Conf, depth: int) -> Conf:
    """The configuration of a model of another depth, regularised alike.

    Intermediate CTC stays after every quarter of the blocks; the rates of stochastic
    depth follow the same rule.
    """
    conf = dict(config["encoder_conf"], num_blocks=depth)
    if conf.get("interctc_layer_idx"):
        taps = {round(depth * quarter / 4) for quarter in (1, 2, 3)}
        conf["interctc_layer_idx"] = sorted(taps - {0, depth})
    return {**config, "encoder_conf": conf}


def select_conf(c: Comparison, row: Row, size: float) -> Conf:
    """The YAML of a row's selection at one size.

    In a row's budget the word `size` stands for the share that is removed. A list of
    budgets stands instead of the selection's own.

    Raises:
        UserError: The budget is none, or has parts where a sparsity is wanted.
    """
    from espnet_prune.select.budget import Budget

    conf = read_mapping(str(row.select))
    if c.table:
        number = read_mapping(c.dense[row.of])["encoder_conf"]["num_blocks"]
        return {**conf, "num_remove": number - int(size)}
    base, given = dict(conf.get("budget") or {}), row.budget or {}
    base.pop("sparsity", None)
    if isinstance(given, list):
        conf["budget"] = [_sized(one, size) for one in given]
    elif "size" in given.values():
        conf["budget"] = {**base, **_sized(given, size)}
    else:
        conf["budget"] = {**base, **given, "sparsity": size / 100}
        Budget.from_conf(conf["budget"]).whole(row.select)
    Budget.from_conf(conf["budget"])
    if row.units is not None:
        conf["units"] = row.units
    dropped = ["num_remove", *([] if row.distill else ["distill_conf"])]
    return {key: value for key, value in conf.items() if key not in dropped}


def _sized(budget: Conf, size: float) -> Conf:
    return {key: size / 100 if v == "size" else v for key, v in budget.items()}


def recover_conf(c: Comparison, row: Row) -> Conf:
    """The YAML of a row's recovery: what the selection leaves of the total effort.

    Raises:
        UserError: It leaves nothing.
    """
    conf, goal = read_mapping(str(row.recover)), total(c)
    if not row.distill:
        conf.pop("distill_conf", None)
    if goal is None:
        return conf
    goal = Effort({unit: round(n * row.effort) for unit, n in goal.items()})
    select = c.rows[row.cut].select if row.cut else row.select
    left = goal - select_effort(select)
    if not left:
        raise UserError(
            f"{select}: the selection takes longer than all others have in all; "
            "lower its max_epoch"
        )
    return stretch(conf, left, row.recover)


def train_conf(c: Comparison, row: Row, size: float, cut: Path) -> Conf:
    """The YAML of a row that is trained as a dense model is.

    Args:
        c: The comparison.
        row: One of another kind than prune.
        size: Percent removed, or blocks.
        cut: Directory of the pruned model whose structure it has.
    """
    path = c.dense.get(row.of) or next(iter(c.dense.values()))
    dense, goal = read_mapping(path), total(c)
    if row.kind == "shallow":
        return shallow(dense, int(size))
    if goal is None:
        raise UserError(
            f"rows: {row.name}: equal effort needs the keys select, recover"
        )
    if row.kind == "dense_long":
        plain = read_mapping(str(row.recover))
        plain.pop("distill_conf", None)
        long = stretch(plain, goal, row.recover)
        return {**dense, "num_iters_per_epoch": None, **long}
    if row.kind != "scratch":
        goal = effort(dense, path) + goal
    if row.kind == "scratch_structure":
        kept = read_mapping(cut / "config.yaml")
        dense = {**dense, **{key: kept[key] for key in ("encoder", "encoder_conf")}}
    elif row.kind != "dense_one":
        dense = uniform_config(dense, size / 100)
    return stretch(dense, goal, path)
