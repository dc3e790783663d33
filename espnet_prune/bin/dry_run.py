#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Say what configurations mean, without data, before anything long is started.

Every model of --asr_config is built at its real size, with random weights, and takes
one training step on noise. Every selection of --prune_config is checked against each of
them: what it asks for, how far one could go, and what holds that up; so is the training
of --recover_config. A budget out of reach, or a wrong key, ends with exit code 2.

What is estimated:
  memory     of one GPU: weights, gradients and Adam's two moments in float32, and what
             is kept for the backward pass of a full batch, in proportion to the speech
             in it; half of that with AMP. The frameworks' own needs come on top.
  GPU hours  operations of a step x number of steps / --tflops. The training times that
             ESPnet's recipes state for their Conformers with AMP on V100 GPUs (57072 s
             on one for LibriSpeech-100, 3.5 days on four for LibriSpeech) are 7.8 and
             9.2 TFLOP/s when counted this way; 8 is our default. A teacher adds its
             forward pass; gates are not counted. A recovery is priced as if nothing
             had been cut.
"""

import argparse
import shlex
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from espnet_prune.report.results import markdown
from espnet_prune.utils import UserError, run_main, write_json, write_yaml

HEAD = ("configuration", "encoder", "all", "GMACs, 10 s", "front end", "batch")
HEAD += ("GB", "epochs", "steps", "GPU hours")
PRUNE_HEAD = ("dense", "selection", "asked for", "at most", "GB", "epochs", "steps")
PRUNE_HEAD += ("GPU hours",)
RECOVER_HEAD = ("dense", "recovery", "GB", "epochs", "steps", "GPU hours")


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--asr_config", type=Path, nargs="+", required=True, help="dense trainings")
    add("--prune_config", type=Path, nargs="*", default=[], help="selections")
    add("--recover_config", type=Path, nargs="*", default=[], help="recoveries")
    for name in ("asr_args", "prune_args", "recover_args"):
        add(f"--{name}", default="", help="more options, in one string")
    add("--vocab", type=int, default=5000, help="number of tokens")
    add("--hours", type=float, help="speech in an epoch, all speeds; no GPU hours else")
    add("--seconds", type=float, default=10.0, help="length of the utterance")
    add("--tflops", type=float, default=8.0, help="sustained by a GPU, 1e12 a second")
    add("--ngpu", type=int, default=1, help="GPUs that share a batch")
    add("--json", help="write JSON to this file, too")
    return parser


def read_training(command: List[str], vocab: int) -> argparse.Namespace:
    """Read options of a training as the training would, with invented tokens.

    Raises:
        UserError: See `asr_train.read_command` and `precheck.check_confs`.
    """
    from espnet_prune.distill.config import DistillConf
    from espnet_prune.train import precheck
    from espnet_prune.train.command import get_parser as train_parser
    from espnet_prune.train.command import read_command
    from espnet_prune.train.task import PruneASRTask

    tokens = [f"t{i}" for i in range(vocab - 3)]
    args = read_command(train_parser(), command)
    precheck.check_confs(args, PruneASRTask)
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
        options: Those of the command line.
    """

    def __init__(self, step: Any, options: argparse.Namespace) -> None:
        self.step, self.options = step, options

    def training(self, args: argparse.Namespace, teacher: bool) -> Dict[str, Any]:
        """Return {batch_seconds, gb, epochs, steps, gpu_hours} of a training.

        Args:
            args: Its options.
            teacher: Whether the dense model runs beside.
        """
        from espnet_prune.measure.training import batch_seconds, num_steps

        step, given = self.step, self.options
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


def dense_row(path: Path, options: Any) -> Tuple[Dict, Any, Dict, Forecast]:
    """Build a model and let it take a step.

    Returns:
        Its row, itself, its configuration, and its prices.
    """
    import torch

    from espnet_prune.measure.cost import cost
    from espnet_prune.measure.duration import frames_of, rate_of
    from espnet_prune.measure.training import measure_step
    from espnet_prune.models import build_model
    from espnet_prune.structure import Structure

    command = ["--config", str(path), *shlex.split(options.asr_args)]
    args = read_training(command, options.vocab)
    torch.manual_seed(0)
    model = build_model(vars(args))
    rate, tokens = rate_of(vars(args)), int(4 * options.seconds) or 1
    step = measure_step(model, options.seconds, tokens, rate)
    forecast = Forecast(step, options)
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
    from espnet_prune.measure.cost import CostModel

    model = CostModel(dense, frames)
    front = [name for name, part in model.parts.items() if part == "cnn"]
    return model.exact({}, "cnn").macs if front else 0


def prune_row(
    path: Path, model: Any, config: Dict[str, Any], forecast: Forecast
) -> Dict[str, Any]:
    """Check a selection against a model of some configuration; return its row.

    Raises:
        UserError: See `read_conf` and the method's `check`.
    """
    from espnet_prune.bin import select
    from espnet_prune.select.conf import read_conf
    from espnet_prune.select.plan import Plan

    options = forecast.options
    command = ["--config", str(path), *shlex.split(options.prune_args)]
    args, extra = select.get_parser().parse_known_args(command)
    plan = Plan.of(read_conf(args), model, config, args, extra)
    method = plan.method
    method.check(plan)
    row = {"config": str(path), "method": method.name, **method.outlook(plan)}
    if method.training is not None:
        own = method.training(plan)
        training = read_inline(own, extra, options.vocab)
        row.update(forecast.training(training, teacher="distill_conf" in own))
        if row["steps"]:
            method.check_steps(plan, row["steps"])
    return row


def recover_row(path: Path, forecast: Forecast) -> Dict[str, Any]:
    """Read a recovery; return its row."""
    more = shlex.split(forecast.options.recover_args)
    args = read_training(["--config", str(path), *more], forecast.options.vocab)
    teacher = bool(args.distill_conf)
    return {"config": str(path), **forecast.training(args, teacher)}


def _training_cells(row: Dict[str, Any]) -> List[str]:
    if "epochs" not in row:  # blocks or magnitude: nothing is trained
        return ["-"] * 4
    hours, steps = row["gpu_hours"], row["steps"]
    return [
        f"{row['gb']:.1f}",
        str(row["epochs"]),
        "?" if steps is None else f"{steps:,}",
        "?" if hours is None else f"{hours:.1f}",
    ]


def _shares(values: Dict[str, Any]) -> str:
    return ", ".join(
        # never rounded up: what is shown can be asked for
        (
            f"{value} blocks"
            if name == "blocks"
            else f"{int(1000 * value) / 1000} of {name}"
        )
        for name, value in values.items()
    )


def page(report: Dict[str, Any]) -> str:
    """Return the report for people."""
    models, prunes, recovers = [], [], []
    reasons: List[str] = []
    for model in report["models"]:
        name = Path(model["config"]).name
        models.append(
            [
                name,
                f"{model['encoder_params'] / 1e6:.1f} M",
                f"{model['total_params'] / 1e6:.1f} M",
                f"{model['gmacs']:.2f}",
                f"{model['front_end']:.0%}",
                f"{model['batch_seconds']:.0f} s",
                *_training_cells(model),
            ]
        )
        for row in model["selections"]:
            file, most = Path(row["config"]).name, _shares(row["at_most"])
            if row["held_up_by"] not in reasons:
                reasons.append(row["held_up_by"])
            most += f" ({reasons.index(row['held_up_by']) + 1})"
            cells = [name, file, _shares(row["asked"]), most, *_training_cells(row)]
            prunes.append(cells)
        for row in model["recoveries"]:
            recovers.append([name, Path(row["config"]).name, *_training_cells(row)])
    lines = [markdown([HEAD, *models])]
    if prunes:
        lines += ["", markdown([PRUNE_HEAD, *prunes]), ""]
        for number, reason in enumerate(reasons, start=1):
            lines.append(f"({number}) {reason}")
    if recovers:
        lines += ["", markdown([RECOVER_HEAD, *recovers])]
    given = report["assumed"]
    speech = "unknown, see --hours"
    if given["hours"] is not None:
        speech = f"{given['hours']:g} hours an epoch"
    lines += [
        "",
        f"Estimates for {given['ngpu']} GPU(s) of {given['tflops']:g} TFLOP/s each, "
        f"{given['vocab']} tokens, steps",
        f"measured on {given['seconds']:g} s of noise; speech: {speech}. See --help.",
    ]
    return "\n".join(lines)


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command.

    Raises:
        UserError: Bad input; or, after all has been printed, a selection that cannot
            be done with a model.
    """
    options = get_parser().parse_args(cmd)
    for name in ("hours", "seconds", "tflops", "ngpu"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UserError(f"--{name} {value} must be above 0")
    if options.vocab < 4:
        raise UserError(f"--vocab {options.vocab} must be at least 4")
    import torch

    torch.set_flush_denormal(True)
    problems, models = [], []
    for path in options.asr_config:
        row, model, config, forecast = dense_row(path, options)
        row["selections"], row["recoveries"] = [], []
        for other in options.prune_config:
            try:
                row["selections"].append(prune_row(other, model, config, forecast))
            except UserError as error:
                problems.append(f"{path} with {other}: {error}")
        for other in options.recover_config:
            row["recoveries"].append(recover_row(other, forecast))
        models.append(row)
    names = ("vocab", "hours", "seconds", "tflops", "ngpu")
    report = {"assumed": {n: getattr(options, n) for n in names}, "models": models}
    if options.json:
        write_json({**report, "problems": problems}, options.json)
    print(page(report))
    if problems:
        raise UserError("; ".join(problems))


if __name__ == "__main__":
    run_main(main)
