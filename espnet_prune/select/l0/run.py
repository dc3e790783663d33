# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A selection by gates: their training, and what comes of it."""

import copy
import logging
import shutil
import sys
from pathlib import Path
from typing import Any, Dict

from torch import nn

from espnet_prune.models import read_model_config
from espnet_prune.select.budget import Budget
from espnet_prune.select.l0.conf import check_l0_conf
from espnet_prune.select.l0.gates import Gates, gates_of
from espnet_prune.select.l0.start import PLACES, start_of
from espnet_prune.select.plan import Plan
from espnet_prune.select.selection import WEIGHTS, Selection
from espnet_prune.state_dicts import load_strictly
from espnet_prune.utils import (
    PathLike,
    UserError,
    atomic_write,
    load_tensors,
    write_yaml,
)


def gate_conf(plan: Plan) -> Dict[str, Any]:
    """Return the arguments of `attach_gates` that a plan means.

    Raises:
        UserError: `l0_conf` is not a mapping of known keys, or gates cannot start
            from what it says.
    """
    own = dict(check_l0_conf(plan.conf.get("l0_conf")))
    start = own.pop("start", None)
    if start not in (None, "obs"):
        raise UserError(f"l0_conf: start is {start!r}, must be obs, or left out")
    own.update(budget=plan.budget.conf(), seed=plan.seed)
    for key in ("units", "round_to"):
        if key in plan.conf:
            own[key] = plan.conf[key]
    return own


def training_conf(plan: Plan) -> Dict[str, Any]:
    """Return the YAML of the training."""
    own = {**plan.own("train_conf"), "l0_conf": gate_conf(plan), "seed": plan.seed}
    if plan.conf.get("distill_conf") is not None:
        own["distill_conf"] = plan.conf["distill_conf"]
    return own


def train(plan: Plan) -> Path:
    """Train the gates with the weights; return the directory of the training.

    Raises:
        SystemExit: In all but the first of several processes; that one goes on.
    """
    from espnet_prune.train.command import train as asr_train
    from espnet_prune.train.ranks import is_main

    given, folder = plan.options, Path(plan.options.output_dir)
    own, weights = training_conf(plan), given.model_file
    start = start_of(plan)
    if start is not None:
        own["l0_conf"]["start"], weights = str(start / PLACES), str(start / WEIGHTS)
    write_yaml(own, folder / "train.yaml")
    options = ["--base_config", given.model_config, "--init_param", str(weights)]
    if getattr(given, "task", None):
        options += ["--task", given.task]
    if "distill_conf" in own:
        options += ["--teacher_config", given.model_config]
        options += ["--teacher_model", given.model_file]
    options += ["--config", str(folder / "train.yaml")]
    options += ["--output_dir", str(folder / "train")]
    options += ["--ngpu", str(given.ngpu), "--resume", "true"]
    options += ["--multiprocessing_distributed", "true"]
    if not is_main(asr_train([*options, *plan.extra])):
        sys.exit(0)
    return folder / "train"


def load_gates(exp_dir: PathLike, model: nn.Module) -> Gates:
    """Load a finished training of gates into a model.

    Args:
        exp_dir: Directory with config.yaml, weights.pth and gates.pth.
        model: The plain model that was trained; it takes over the weights.

    Returns:
        The gates, attached to what their budget is of.

    Raises:
        UserError: A file is missing or corrupt.
    """
    exp_dir = Path(exp_dir)
    args = read_model_config(exp_dir / "config.yaml")
    weights = load_tensors(exp_dir / WEIGHTS)
    states = load_tensors(exp_dir / "gates.pth")
    remedy = f" under {exp_dir}/config.yaml; select again"
    load_strictly(model, weights, str(exp_dir / WEIGHTS), remedy)
    conf = {"seed": args["seed"], **copy.deepcopy(args["l0_conf"])}
    conf.pop("start", None)  # the state says where the gates have come to
    gates = gates_of(model, **conf)
    gates.load_state_dict(states, strict=True)
    logging.info(f"Gated training loaded from {exp_dir}")
    model.eval()
    return gates.eval()


def run(plan: Plan) -> Selection:
    """Train, and project the gates to the budget."""
    folder = Path(plan.options.output_dir)
    training = train(plan)
    gates = load_gates(training, plan.model)
    steps = int(gates.lagrangian.step)
    # the ramp may end beyond the last step; the budget asked for is what counts
    gates.lagrangian.step.fill_(float(gates.lagrangian.ramp_steps))
    expected = gates.sparsity().tolist()
    for target, share in zip(gates.budget, expected):
        logging.info(f"{target}: {share:.4f} expected by the gates")
    behind = gates.behind()
    if behind:
        logging.warning(
            f"The gates have not come to the budget in {steps} steps ({behind}). The "
            "rest goes in the order of the gates, without training: train longer "
            "(max_epoch), or raise extra_steps of l0_conf"
        )
    with open(training / "select.jsonl", encoding="utf-8") as source:
        with atomic_write(folder / "select.jsonl") as stream:
            shutil.copyfileobj(source, stream)
    gates.detach_hooks()
    weights = load_tensors(training / WEIGHTS)
    record = {"steps": steps, "expected": gates.budget.keyed(expected)}

    def select(budget: Budget) -> Selection:
        masks = gates.masks_within(budget)
        return Selection(
            plan.graph, masks, weights=weights, record=record, again=select
        )

    return select(plan.budget)
