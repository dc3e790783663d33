# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's tasks with extensions and checks.

Their classes are found in this module by name: multi-GPU training spawns processes that
import them so, and that import registers our encoders there too.
"""

import argparse
import functools
import logging
import multiprocessing
import sys
from pathlib import Path
from typing import Any, Callable, List, Tuple

import torch

from espnet_prune.registry import register

register()

from espnet2.tasks import abs_task  # noqa: E402
from espnet2.tasks.asr import ASRTask  # noqa: E402
from espnet2.utils.types import str_or_none  # noqa: E402

from espnet_prune.data.audio import tell_unreadable_audio  # noqa: E402
from espnet_prune.foreign import told  # noqa: E402
from espnet_prune.models import load_pretrained  # noqa: E402
from espnet_prune.patches import replace  # noqa: E402
from espnet_prune.strict import build_from_file  # noqa: E402
from espnet_prune.tasks import ASR, TASKS  # noqa: E402
from espnet_prune.train import lightning  # noqa: E402
from espnet_prune.train.checkpoint import (  # noqa: E402
    CHECKPOINT,
    check_same_structure,
)
from espnet_prune.train.extensions import extensions  # noqa: E402
from espnet_prune.train.model import with_hooks  # noqa: E402
from espnet_prune.train.optimizer import WithAdam  # noqa: E402
from espnet_prune.train.trainer import PruneTrainer  # noqa: E402
from espnet_prune.units.stochastic_depth import skips_blocks  # noqa: E402
from espnet_prune.utils import UserError, run_main  # noqa: E402

replace(abs_task, "load_pretrained_model", load_pretrained)


class PruneTask:
    """Stands before a task of ESPnet, whose training can have extensions then.

    See `train.extensions`. Data, what is done to it and how batches are made are the
    task's own. Not supported: DeepSpeed, and with an extension other classes of models
    than the one that the task takes by default.
    """

    about = ASR  # what is known of the task
    trainer = PruneTrainer
    build_model_from_file = classmethod(build_from_file)

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
        for extension in extensions():
            extension.add_options(group)
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
        # denormal numbers, common behind what closes, are slow on CPUs
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
        """Build the model, for espnet3 with its weights.

        Raises:
            UserError: See `lightning`.
        """
        if not lightning.is_used():
            return cls._build(args)
        lightning.check(args)
        return lightning.prepare(args, cls._build(args))

    @classmethod
    def _build(cls, args: argparse.Namespace):
        """Build the model; extensions only when it is going to be trained.

        Raises:
            UserError: An extension cannot do what its options say, or not with this
                class of models.
        """
        wanted = [e.what for e in extensions() if e.wanted(args)]
        if getattr(args, "collect_stats", False) or not wanted:
            return super().build_model(args)
        (usual,) = [c.default for c in cls.class_choices_list if c.name == "model"] or [
            None
        ]
        kind = getattr(args, "model", None) or usual
        if kind != usual:
            raise UserError(
                f"model: {kind} cannot be trained with {' and '.join(wanted)}; only "
                f"{usual} can"
            )
        model = with_hooks(super().build_model(args))
        for extension in extensions():
            extension.extend(args, model)
        return model

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: torch.nn.Module
    ) -> List[torch.optim.Optimizer]:
        """Build one optimizer, which gives some hooks' parameters a rule of their own.

        The model is complete here and not yet wrapped for distributed training, which
        is told about stochastic depth.

        Raises:
            UserError: The output directory holds a training of another structure.
        """
        if args.output_dir is not None and not args.collect_stats:
            check_same_structure(Path(args.output_dir) / CHECKPOINT, model)
        _expect_skipped_blocks(args, model)
        own = [h for h in getattr(model, "hooks", []) if h.own_rate is not None]
        if not own:
            return super().build_optimizers(args, model)
        # build the stock optimizer, whatever its options, without their parameters
        for hook in own:
            setattr(model, hook.name, None)
        try:
            (optimizer,) = super().build_optimizers(args, model)
        finally:
            for hook in own:
                setattr(model, hook.name, hook.module)
        groups = [
            {"params": list(hook.module.parameters()), "lr": hook.own_rate}
            for hook in own
        ]
        return [WithAdam(optimizer, groups)]


class PruneASRTask(PruneTask, ASRTask):
    """`ASRTask` whose training can have extensions."""


def _class_name(task: str) -> str:
    return f"Prune{task.replace('_', '').upper()}Task"


def task_class(name: str) -> Any:
    """Return the class that trains models of a task, e.g. `PruneSTTask` for "st"."""
    return getattr(sys.modules[__name__], _class_name(name))


def __getattr__(wanted: str) -> Any:
    """Make the class of another task when it is looked for, as by a spawned process.

    ESPnet's own module of that task is not imported before.
    """
    task = next((t for t in TASKS.values() if _class_name(t.name) == wanted), None)
    if task is None or task is ASR:
        raise AttributeError(f"module {__name__} has no attribute {wanted}")
    own = {"__module__": __name__, "__doc__": PruneTask.__doc__, "about": task}
    kind = type(wanted, (PruneTask, task.espnet_class()), own)
    return globals().setdefault(wanted, kind)


def _expect_skipped_blocks(args: argparse.Namespace, model: torch.nn.Module) -> None:
    """Switch `unused_parameters` on where it is needed by several processes.

    With stochastic depth each process skips blocks of its own choice, without labels
    the heads learn nothing, and what a hook holds does not, either; without the switch,
    distributed training waits for their gradients and fails.
    """
    if args.unused_parameters or not torch.distributed.is_available():
        return
    encoder = getattr(model, "encoder", None)
    skips = any(hook.skips for hook in getattr(model, "hooks", []))
    skips = skips or not getattr(model, "labels", True) or skips_blocks(encoder)
    if torch.distributed.is_initialized() and skips:
        args.unused_parameters = True
        logging.info(
            "unused_parameters is switched on: skipped blocks, heads without labels, "
            "or what is held have no gradient"
        )
