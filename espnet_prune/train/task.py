# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's ASR task with gates, distillation and checks.

A class at module level: multi-GPU training spawns processes that import it by name,
and that import registers our encoders there too.
"""

import argparse
import functools
import logging
import multiprocessing
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Tuple, Union

import torch

import espnet_prune

espnet_prune.register()

from espnet2.tasks import abs_task  # noqa: E402
from espnet2.tasks.asr import ASRTask, model_choices  # noqa: E402
from espnet2.utils.nested_dict_action import NestedDictAction  # noqa: E402
from espnet2.utils.types import str_or_none  # noqa: E402

from espnet_prune.data.audio import tell_unreadable_audio  # noqa: E402
from espnet_prune.distill.config import DistillConf  # noqa: E402
from espnet_prune.distill.teacher import load_teacher  # noqa: E402
from espnet_prune.encoders.stochastic_depth import skips_blocks  # noqa: E402
from espnet_prune.foreign import told  # noqa: E402
from espnet_prune.models import load_pretrained  # noqa: E402
from espnet_prune.structure import Structure  # noqa: E402
from espnet_prune.train.checkpoint import (  # noqa: E402
    CHECKPOINT,
    check_same_structure,
)
from espnet_prune.train.model import PruneASRModel  # noqa: E402
from espnet_prune.train.optimizer import WithAdam  # noqa: E402
from espnet_prune.train.trainer import PruneTrainer  # noqa: E402
from espnet_prune.utils import UserError, run_main  # noqa: E402

model_choices.classes["prune"] = PruneASRModel
abs_task.load_pretrained_model = load_pretrained


class PruneASRTask(ASRTask):
    """`ASRTask` that can train with gates (`--l0_conf`) and a teacher.

    Not supported: DeepSpeed, fairscale's sharded DDP with gates, model classes other
    than `espnet` with gates or a teacher.
    """

    trainer = PruneTrainer

    @classmethod
    def get_parser(cls):
        """Return ESPnet's parser, with attention plots off unless asked for."""
        parser = super().get_parser()
        parser.set_defaults(num_att_plot=0)
        return parser

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser):
        """Add our options to ESPnet's."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group(description="Pruning related")
        group.add_argument(
            "--l0_conf",
            action=NestedDictAction,
            default=dict(),
            help="Train with gates: the arguments of attach_gates",
        )
        group.add_argument(
            "--distill_conf",
            action=NestedDictAction,
            default=dict(),
            help="Weights and variants of the distillation losses",
        )
        group.add_argument(
            "--teacher_config",
            type=str_or_none,
            default=None,
            help="config.yaml of the teacher (default: beside --teacher_model)",
        )
        group.add_argument(
            "--teacher_model",
            type=str_or_none,
            default=None,
            help="Checkpoint of the teacher; switches distillation on",
        )
        group.add_argument(
            "--base_config",
            type=str_or_none,
            default=None,
            help="Take the keys that define the model from this config.yaml",
        )

    @classmethod
    def required_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> Tuple[str, ...]:
        """Return the names of data that a training cannot do without."""
        return ("speech",)

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> Tuple[str, ...]:
        """Return other names; text is needed unless there are to be no labels."""
        return ("text", *super().optional_data_names(train, inference))

    @classmethod
    def main_worker(cls, args: argparse.Namespace):
        """Train or collect statistics in this process."""
        tell_unreadable_audio()
        # denormal numbers, common behind closing gates, are slow on CPUs
        torch.set_flush_denormal(True)
        work = functools.partial(cls._work, super().main_worker, args)
        if multiprocessing.parent_process() is None:
            work()
        else:  # one of several ranks on this node: bad input is told there, too
            run_main(work)

    @staticmethod
    def _work(main_worker: Callable[..., None], args: argparse.Namespace) -> None:
        PruneTrainer.began = False
        what = f"--config {args.config}: ESPnet cannot begin this training"
        remedy = "look at what it says, and at the key that it is about"
        with told(what, remedy, vars(args), lambda: not PruneTrainer.began):
            main_worker(args)

    @classmethod
    def build_model(cls, args: argparse.Namespace):
        """Build the model; gates and teacher only when it is going to be trained.

        Raises:
            UserError: Unknown keys in `l0_conf` or `distill_conf`, a teacher that is
                missing or does not fit, or an output directory of another structure.
        """
        l0_conf = dict(getattr(args, "l0_conf", None) or {})
        conf = DistillConf.from_dict(getattr(args, "distill_conf", None))
        teacher = getattr(args, "teacher_model", None)
        distil = bool(getattr(args, "distill_conf", None) or teacher)
        distil = distil and conf.needs_teacher
        if getattr(args, "collect_stats", False) or not (l0_conf or distil):
            return super().build_model(args)
        kind = getattr(args, "model", None) or "espnet"
        if kind not in ("espnet", "prune"):
            raise UserError(
                f"model: {kind} cannot be trained with gates or a teacher; "
                "only espnet can"
            )
        args.model = "prune"
        try:
            model = super().build_model(args)
        finally:
            # config.yaml keeps the stock name, so that stock tools load the result
            args.model = "espnet"
        model.set_conf(conf)
        model.set_structure(_widths(args))
        if l0_conf:
            l0_conf.setdefault("seed", args.seed)
            model.add_gates(espnet_prune.attach_gates(model.encoder, **l0_conf))
        if distil:
            loaded = load_teacher(args.teacher_config, teacher, model)
            model.add_teacher(loaded, conf)
        return model

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: torch.nn.Module
    ) -> List[torch.optim.Optimizer]:
        """Build one optimizer, which moves gates by Adam and weights as the user says.

        The model is complete here and not yet wrapped for distributed training, which
        is told about stochastic depth.

        Raises:
            UserError: The output directory holds a training of another structure, or
                gates are combined with sharded DDP.
        """
        if args.output_dir is not None and not args.collect_stats:
            check_same_structure(Path(args.output_dir) / CHECKPOINT, model)
        _expect_skipped_blocks(args, model)
        gates = getattr(model, "gates", None)
        if gates is None:
            return super().build_optimizers(args, model)
        if args.sharded_ddp:
            raise UserError("sharded_ddp cannot be used with l0_conf")
        # build the stock optimizer, whatever its options, without the gates
        model.gates = None
        try:
            (optimizer,) = super().build_optimizers(args, model)
        finally:
            model.gates = gates
        return [WithAdam(optimizer, list(gates.parameters()), float(gates.gate_lr))]

    @classmethod
    def build_model_from_file(
        cls,
        config_file: Optional[Union[Path, str]] = None,
        model_file: Optional[Union[Path, str]] = None,
        device: str = "cpu",
    ) -> Tuple[torch.nn.Module, argparse.Namespace]:
        """Build the plain model for inference, and load every tensor of it.

        Raises:
            UserError: The file does not fit the config.
        """
        from espnet_prune.strict import build_from_file

        return build_from_file(cls, config_file, model_file, device)


def _widths(args: argparse.Namespace) -> Mapping[str, Any]:
    """Return what is left of the encoder, as far as anything says it.

    A model that is written as a stock class does not say which blocks it has kept; the
    structure.json beside its config.yaml does.
    """
    widths = (args.encoder_conf or {}).get("structure")
    beside = Path(getattr(args, "base_config", None) or "").parent / "structure.json"
    if not widths and getattr(args, "base_config", None) and beside.is_file():
        widths = Structure.load(beside).widths()
    return widths or {}


def _expect_skipped_blocks(args: argparse.Namespace, model: torch.nn.Module) -> None:
    """Switch `unused_parameters` on where it is needed by several processes.

    With stochastic depth each process skips blocks of its own choice, and without
    labels the heads learn nothing; without the switch, distributed training waits for
    their gradients and fails.
    """
    if args.unused_parameters or not torch.distributed.is_available():
        return
    encoder = getattr(model, "encoder", None)
    unlabelled = not getattr(model, "distill_conf", DistillConf()).labels
    if torch.distributed.is_initialized() and (unlabelled or skips_blocks(encoder)):
        args.unused_parameters = True
        logging.info(
            "unused_parameters is switched on: skipped blocks, or heads without "
            "labels, have no gradient"
        )
