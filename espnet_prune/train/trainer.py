# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's trainer with hooks and safe checkpoints; its loop stays where it is."""

import argparse
import contextlib
import functools
import logging
import time
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

import humanfriendly
import torch
from espnet2.train import trainer as stock
from espnet2.train.reporter import SubReporter
from espnet2.train.trainer import Trainer, TrainerOptions

from espnet_prune.patches import replace, replaced
from espnet_prune.tensor_names import as_here
from espnet_prune.train.averaging import average_nbest_models
from espnet_prune.train.checkpoint import (
    CHECKPOINT,
    atomic_saves,
    keep_stopped,
    last_epoch,
    load_checkpoint,
    remove_leftovers,
    repair,
)
from espnet_prune.train.extensions import extensions
from espnet_prune.train.finite import FiniteGuard
from espnet_prune.train.hooks import Run
from espnet_prune.train.ranks import any_rank, check_agreement

replace(stock, "average_nbest_models", average_nbest_models)


class Watched:
    """An iterator that counts batches and tells the hooks before each one."""

    def __init__(self, iterator: Any, run: Run):
        self.iterator, self.run = iterator, run

    def __len__(self) -> int:
        return len(self.iterator)

    def __iter__(self) -> Iterator[Any]:
        self.run.batch = 0
        for item in self.iterator:
            if self.run.extra and not self.run.unfinished():
                return
            self.run.batch += 1
            self.run.call("batch")
            yield item


class PruneTrainer(Trainer):
    """Stock trainer plus hooks.

    Not supported: DeepSpeed and fairscale's sharded DDP.
    """

    _run: Optional[Run] = None
    _started = 0.0
    _first_epoch = 1
    began = False  # whether a training of this process has come so far

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> TrainerOptions:
        """Build the options; some extensions keep the last epoch, not the best."""
        options = super().build_options(args)
        if any(e.keeps_last and e.wanted(args) for e in extensions()):
            options.best_model_criterion = []
            options.nbest_averaging_interval = 0
            options.patience = None
        return options

    @classmethod
    def run(
        cls, model, optimizers, schedulers, trainer_options, distributed_option, **data
    ) -> None:
        """Train, from the checkpoint if there is one and `resume` is set.

        Where a hook is not finished at the end, it goes on for epochs that end as soon
        as all hooks are.

        Raises:
            UserError: The checkpoint is corrupt, or not the same on all ranks; or a
                hook cannot do its work in this training.
        """
        output_dir = Path(trainer_options.output_dir)
        run = Run(
            model=model,
            output_dir=output_dir,
            options=trainer_options,
            main=not distributed_option.distributed
            or distributed_option.dist_rank == 0,
            hooks=model.train_hooks() if hasattr(model, "train_hooks") else [],
        )
        if run.main:
            remove_leftovers(output_dir)
        if trainer_options.resume and (output_dir / CHECKPOINT).exists():
            run.states = load_checkpoint(output_dir / CHECKPOINT)
            if run.main:
                repair(output_dir, run.states, trainer_options)
            keep_stopped(run.states, trainer_options)
        check_agreement(
            last_epoch(run.states),
            str(output_dir),
            "cuda" if distributed_option.ngpu > 0 else "cpu",
        )
        run.planned = _planned_steps(data["train_iter_factory"], trainer_options)
        _tell_restart(schedulers, run.planned)
        handle = optimizers[0].register_step_post_hook(_count_step)
        PruneTrainer.began = True
        PruneTrainer._run, PruneTrainer._started = run, time.perf_counter()
        PruneTrainer._first_epoch = 0
        train = functools.partial(
            super().run,
            model=model,
            optimizers=optimizers,
            trainer_options=trainer_options,
            distributed_option=distributed_option,
            **data,
        )
        try:
            saves = atomic_saves(model, cls._hook_states)
            with saves, _clip_weights_only(model), FiniteGuard(model):
                run.call("run_start")
                train(schedulers=schedulers)
                while _goes_on(run):
                    before = run.steps
                    train(schedulers=[_lasting(s) for s in schedulers])
                    if run.steps == before:
                        break
                run.call("run_end")
        finally:
            handle.remove()
            PruneTrainer._run = None

    @staticmethod
    def _hook_states():
        hooks = PruneTrainer._run.hooks
        return {hook.name: hook.state_dict() for hook in hooks}

    @staticmethod
    def resume(
        checkpoint, model, reporter, optimizers, schedulers, scaler, strict=True, **_
    ) -> None:
        """Restore the states that `run` has loaded."""
        run = PruneTrainer._run
        states = run.states
        saved = as_here(states["model"], model.state_dict().keys())
        model.load_state_dict(saved, strict=strict)
        reporter.load_state_dict(states["reporter"])
        for optimizer, state in zip(optimizers, states["optimizers"]):
            optimizer.load_state_dict(state)
        for scheduler, state in zip(schedulers, states["schedulers"]):
            if scheduler is not None and state is not None:
                scheduler.load_state_dict(state)
        if scaler is not None and states["scaler"] is not None:
            scaler.load_state_dict(states["scaler"])
        for hook in run.hooks:
            if hook.name in states.get("hooks", {}):
                hook.load_state_dict(states["hooks"][hook.name])
        run.call("resumed")
        run.states = {}
        logging.info(f"The training was resumed using {checkpoint}")

    @classmethod
    def train_one_epoch(cls, iterator, optimizers, reporter, options, **others) -> bool:
        """Train one epoch, each from clean gradients.

        The stock loop leaves the gradients of unfinished accumulation to the next
        epoch; a resumed run would not have them.
        """
        run = PruneTrainer._run
        run.epoch = reporter.epoch
        PruneTrainer._first_epoch = PruneTrainer._first_epoch or run.epoch
        for optimizer in optimizers:
            optimizer.zero_grad()
        cls._add_eta(reporter, iterator, options.max_epoch)
        return super().train_one_epoch(
            iterator=Watched(iterator, run),
            optimizers=optimizers,
            reporter=reporter,
            options=options,
            **others,
        )

    @classmethod
    def _add_eta(cls, reporter: SubReporter, iterator: Any, max_epoch: int) -> None:
        """Append the remaining time to the log lines of an epoch."""
        original, run = reporter.log_message, PruneTrainer._run

        def log_message(start: Optional[int] = None) -> str:
            message = original(start)
            with contextlib.suppress(TypeError, ZeroDivisionError):
                done = run.epoch - cls._first_epoch + run.batch / len(iterator)
                rest = max_epoch - cls._first_epoch + 1 - done
                seconds = (time.perf_counter() - cls._started) / done * rest
                message += f", eta={humanfriendly.format_timespan(round(seconds))}"
            return message

        reporter.log_message = log_message

    @classmethod
    @torch.no_grad()
    def validate_one_epoch(cls, **given) -> None:
        """Validate, then tell the hooks that the epoch is over."""
        super().validate_one_epoch(**given)
        PruneTrainer._run.call("epoch_end")


def _count_step(optimizer: torch.optim.Optimizer, *unused: Any) -> None:
    """Tell the hooks of a step.

    GradScaler calls a fused optimiser even for a step that is skipped, and tells it so.
    """
    found = getattr(optimizer, "found_inf", None)
    if found is None or not bool(found):
        PruneTrainer._run.steps += 1
        PruneTrainer._run.call("step")


def _planned_steps(train_iter_factory: Any, options: Any) -> Optional[int]:
    """Return the optimiser steps of a training, None if ESPnet does not know."""
    try:
        batches = len(train_iter_factory.build_iter(1))
    except TypeError:  # e.g. an iterator over chunks
        return None
    return batches // options.accum_grad * options.max_epoch


def _tell_restart(schedulers: Sequence[Any], planned: Optional[int]) -> None:
    """Warn of a cycle of the learning rate that is over before the training is.

    ESPnet begins another one there, at the top rate: a model that was all but ready is
    torn up in the last epochs, which looks like a bad method.
    """
    for scheduler in schedulers:
        steps = getattr(scheduler, "first_cycle_steps", None)
        if steps and planned and steps < planned:
            logging.warning(
                f"scheduler_conf: first_cycle_steps is {steps}, and this training has "
                f"{planned} steps: the learning rate climbs again before its end. Set "
                f"it to {planned}, unless several cycles are wanted"
            )


def _goes_on(run: Run) -> bool:
    """Prepare one more epoch if a hook is not finished."""
    reason = run.unfinished()
    # ranks that wait for each other also wait for the checkpoint of the first
    device = "cuda" if run.options.ngpu > 0 else "cpu"
    if not any_rank(torch.tensor(bool(reason), device=device)):
        return False
    if not (run.output_dir / CHECKPOINT).exists():  # not a single epoch
        return False
    logging.info(reason)
    run.extra, run.options.resume = True, True
    run.states = load_checkpoint(run.output_dir / CHECKPOINT)
    run.options.max_epoch = last_epoch(run.states) + 1
    return True


def _lasting(scheduler: Any) -> Any:
    """Return a scheduler unless it is for a certain number of steps.

    The learning rate then stays what it was in the end.
    """
    return None if hasattr(scheduler, "total_steps") else scheduler


@contextlib.contextmanager
def _clip_weights_only(model: torch.nn.Module) -> Iterator[None]:
    """Leave parameters with a rate of their own out of gradient clipping.

    A strong push on them would otherwise shrink the update of the weights. A gradient
    of theirs that is not finite still makes the norm not finite, so that the trainer
    skips the step.
    """
    hooks = [h for h in getattr(model, "hooks", []) if h.own_rate is not None]
    parameters = [p for hook in hooks for p in hook.module.parameters()]
    if not parameters:
        yield
        return
    original = torch.nn.utils.clip_grad_norm_
    excluded = {id(p) for p in parameters}

    def clip_grad_norm_(params, *args, **kwargs):
        norm = original([p for p in params if id(p) not in excluded], *args, **kwargs)
        for parameter in parameters:
            if parameter.grad is not None:
                finite = torch.isfinite(parameter.grad).all()
                norm = torch.where(finite, norm, torch.full_like(norm, float("nan")))
        return norm

    with replaced(torch.nn.utils, "clip_grad_norm_", clip_grad_norm_):
        yield
