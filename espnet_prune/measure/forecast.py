# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What configurations mean, without data: built, tried for a step, and priced."""

import argparse
import dataclasses
import shlex
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

from espnet_prune.distill.config import DistillConf
from espnet_prune.measure.cost import CostModel, cost
from espnet_prune.measure.duration import frames_of, rate_of
from espnet_prune.measure.training import batch_seconds, measure_step, num_steps
from espnet_prune.models import build_model
from espnet_prune.select.conf import add_options, read_conf
from espnet_prune.select.plan import Plan
from espnet_prune.structure import Structure
from espnet_prune.train.command import get_parser, read_command
from espnet_prune.train.precheck import check_confs
from espnet_prune.train.task import PruneASRTask
from espnet_prune.utils import UserError, write_yaml


@dataclasses.dataclass
class Assumed:
    """What configurations do not say: the options of `dry_run`, see its --help."""

    vocab: int = 5000
    hours: Optional[float] = None
    seconds: float = 10.0
    tflops: float = 8.0
    ngpu: int = 1
    asr_args: str = ""
    prune_args: str = ""
    recover_args: str = ""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UserError: A number that is too small.
        """
        for name in ("hours", "seconds", "tflops", "ngpu"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"--{name} {value} must be above 0")
        if self.vocab < 4:
            raise UserError(f"--vocab {self.vocab} must be at least 4")

    def as_json(self) -> Dict[str, Any]:
        """Return what a report says of them."""
        names = ("vocab", "hours", "seconds", "tflops", "ngpu")
        return {name: getattr(self, name) for name in names}


def read_training(command: List[str], vocab: int) -> argparse.Namespace:
    """Read options of a training as the training would, with invented tokens.

    Raises:
        UserError: See `train.command.read_command` and `check_confs`.
    """
    tokens = [f"t{i}" for i in range(vocab - 3)]
    args = read_command(get_parser(), command)
    check_confs(args, PruneASRTask)
    DistillConf.from_dict(args.distill_conf)
    args.token_list = ["<blank>", "<unk>", *tokens, "<sos/eos>"]
    # sentencepiece and statistics are not there yet, and change no size
    args.token_type, args.normalize = "char", None
    return args


def read_inline(conf: Dict[str, Any], more: List[str], vocab: int) -> Any:
    """Read options of a training that are part of a YAML, as `train_conf`.

    Raises:
        UserError: See `read_command`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.yaml"
        write_yaml(conf, path)
        try:
            return read_training(["--config", str(path), *more], vocab)
        except UserError as error:  # people know no such file
            text = str(error).replace(f"--config {path}", "train_conf")
            raise UserError(text) from error


class Forecast:
    """Prices trainings of one model.

    Args:
        step: What one step of it takes.
        assumed: What configurations do not say.
    """

    def __init__(self, step: Any, assumed: Assumed) -> None:
        self.step, self.assumed = step, assumed

    def training(self, args: argparse.Namespace, teacher: bool) -> Dict[str, Any]:
        """Return {batch_seconds, gb, epochs, steps, gpu_hours} of a training.

        Args:
            args: Its options.
            teacher: Whether the dense model runs beside.
        """
        step, given = self.step, self.assumed
        batch = batch_seconds(args, step.seconds, given.vocab)
        kept = step.activations * batch / given.ngpu / step.seconds
        kept /= 2 if args.use_amp else 1
        flops = step.flops + (step.forward_flops if teacher else 0.0)
        row = {
            "batch_seconds": batch,
            "gb": (step.state + kept + (step.weights if teacher else 0)) / 1e9,
            "epochs": args.max_epoch,
            "steps": None,
            "gpu_hours": None,
        }
        if given.hours is not None:
            row["steps"] = num_steps(args, given.hours, batch)
            speech = row["steps"] * args.accum_grad * batch
            work = flops * speech / step.seconds
            row["gpu_hours"] = work / (given.tflops * 1e12) / 3600
        return row


def dense_row(path: Path, assumed: Assumed) -> Tuple[Dict, Any, Dict, Forecast]:
    """Build a model and let it take a step.

    Returns:
        Its row, itself, its configuration, and its prices.
    """
    command = ["--config", str(path), *shlex.split(assumed.asr_args)]
    args = read_training(command, assumed.vocab)
    torch.manual_seed(0)
    model = build_model(vars(args))
    rate, tokens = rate_of(vars(args)), int(4 * assumed.seconds) or 1
    step = measure_step(model, assumed.seconds, tokens, rate)
    forecast = Forecast(step, assumed)
    dense, frames = Structure.dense(model.encoder), frames_of(vars(args))
    macs = cost(dense, frames).macs
    row = {
        "config": str(path),
        "encoder_params": cost(dense).params,
        "total_params": sum(p.numel() for p in model.parameters()),
        "frames": frames,
        "gmacs": macs / 1e9,
        "front_end": front_end(dense, frames) / macs,
        "gflops_per_second": step.flops / step.seconds / 1e9,
        "took": step.took,
        **forecast.training(args, teacher=False),
    }
    return row, model, vars(args), forecast


def front_end(dense: Any, frames: int) -> int:
    """Return the MACs of the convolutions before the blocks."""
    model = CostModel(dense, frames)
    front = [name for name, part in model.parts.items() if part == "front"]
    return model.exact({}, "front").macs if front else 0


def prune_row(
    path: Path, model: Any, config: Dict[str, Any], forecast: Forecast
) -> Dict[str, Any]:
    """Check a selection against a model of some configuration; return its row.

    Raises:
        UserError: See `read_conf` and the method's `check`.
    """
    assumed = forecast.assumed
    command = ["--config", str(path), *shlex.split(assumed.prune_args)]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_options(parser)
    args, extra = parser.parse_known_args(command)
    plan = Plan.of(read_conf(args), model, config, args, extra)
    method = plan.method
    method.check(plan)
    row = {"config": str(path), "method": method.name, **method.outlook(plan)}
    if method.training is not None:
        own = method.training(plan)
        training = read_inline(own, extra, assumed.vocab)
        row.update(forecast.training(training, teacher="distill_conf" in own))
        if row["steps"]:
            method.check_steps(plan, row["steps"])
    return row


def recover_row(path: Path, forecast: Forecast) -> Dict[str, Any]:
    """Read a recovery; return its row."""
    more = shlex.split(forecast.assumed.recover_args)
    args = read_training(["--config", str(path), *more], forecast.assumed.vocab)
    teacher = bool(args.distill_conf)
    return {"config": str(path), **forecast.training(args, teacher)}


def forecast(
    trainings: Sequence[Path],
    selections: Sequence[Path],
    recoveries: Sequence[Path],
    assumed: Assumed,
) -> Tuple[Dict[str, Any], List[str]]:
    """Price all trainings, and all selections and recoveries of each of them.

    Args:
        trainings: YAML of dense trainings.
        selections: YAML of selections.
        recoveries: YAML of recoveries.
        assumed: What they do not say.

    Returns:
        {assumed, models}, and what is wrong with selections.

    Raises:
        UserError: A training or a recovery that is not understood.
    """
    problems, models = [], []
    for path in trainings:
        row, model, config, prices = dense_row(path, assumed)
        row["selections"], row["recoveries"] = [], []
        for other in selections:
            try:
                row["selections"].append(prune_row(other, model, config, prices))
            except UserError as error:
                problems.append(f"{path} with {other}: {error}")
        for other in recoveries:
            row["recoveries"].append(recover_row(other, prices))
        models.append(row)
    return {"assumed": assumed.as_json(), "models": models}, problems
