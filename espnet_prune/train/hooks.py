# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What may happen besides training, in places that the trainer calls."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import torch

from espnet_prune.select.l0.lagrangian import HASTE, check_ramp
from espnet_prune.tensor_names import as_written
from espnet_prune.utils import atomic_torch_save, atomic_write


@dataclasses.dataclass
class Run:
    """One call of the trainer, as hooks see it.

    Attributes:
        model: The model itself, not its DDP wrapper.
        output_dir: ESPnet's experiment directory.
        options: The trainer's options.
        main: True in the process that writes files.
        hooks: All hooks of this run.
        epoch: Current epoch, from 1.
        batch: Batches seen in the current epoch.
        steps: Optimiser steps of this call.
        planned: Optimiser steps of the whole training, if that is known.
        extra: Whether the training goes on beyond its last epoch.
        states: The checkpoint that the run resumes from; {} for a fresh run.
    """

    model: torch.nn.Module
    output_dir: Path
    options: Any
    main: bool = True
    hooks: Sequence["TrainHook"] = ()
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    planned: Optional[int] = None
    extra: bool = False
    states: Dict[str, Any] = dataclasses.field(default_factory=dict)

    def call(self, event: str) -> None:
        """Call one method of every hook."""
        for hook in self.hooks:
            getattr(hook, event)(self)

    def unfinished(self) -> str:
        """Say why the training has to go on beyond its end; "" if it need not."""
        reasons = (hook.unfinished(self) for hook in self.hooks)
        return "; ".join(reason for reason in reasons if reason)


class TrainHook:
    """Base of all hooks; override what is needed."""

    name = "hook"

    def run_start(self, run: Run) -> None:
        """Before the first epoch, before a checkpoint is loaded."""

    def resumed(self, run: Run) -> None:
        """After a checkpoint was loaded."""

    def batch(self, run: Run) -> None:
        """Before every batch."""

    def step(self, run: Run) -> None:
        """After every real optimiser step (not after a skipped one)."""

    def validation(self, run: Run) -> None:
        """After the validation of an epoch."""

    def epoch_end(self, run: Run) -> None:
        """Before the checkpoint of an epoch is written."""

    def unfinished(self, run: Run) -> str:
        """Say, after the last epoch, why the training has to go on.

        It is asked before every batch from then on, too; "" ends the training.
        """
        return ""

    def run_end(self, run: Run) -> None:
        """After the last epoch."""

    def state_dict(self) -> Dict[str, torch.Tensor]:
        """Return tensors that a resumed run needs."""
        return {}

    def load_state_dict(self, state: Dict[str, torch.Tensor]) -> None:
        """Take over the tensors of `state_dict`."""


class SideState(TrainHook):
    """Carries what stays out of the model's state_dict through a resume.

    Args:
        name: Its name in the checkpoint.
        module: Anything with `get_state` and `set_state`.
        file: If given, the state is written to this file at the end of the run.
    """

    def __init__(self, name: str, module: Any, file: Optional[str] = None):
        self.name, self.module, self.file = name, module, file

    def state_dict(self) -> Dict[str, torch.Tensor]:
        return self.module.get_state()

    def load_state_dict(self, state: Dict[str, torch.Tensor]) -> None:
        self.module.set_state(state)

    def run_end(self, run: Run) -> None:
        if run.main and self.file:
            atomic_torch_save(self.module.get_state(), run.output_dir / self.file)


class GateHook(TrainHook):
    """Drives the gates, logs the selection and writes its result.

    Files in the experiment directory: `select.jsonl` (a line per interval), and at
    the end `weights.pth` (the co-trained weights, keys of the plain model) and
    `gates.pth` (the state of the gates).

    Args:
        model: A model with `gates` and `last_stats`.
    """

    name = "gates"
    log_name = "select.jsonl"

    def __init__(self, model: torch.nn.Module):
        self.model = model
        self.gates = model.gates
        self.extra = 0  # steps beyond the end of the training

    def run_start(self, run: Run) -> None:
        if run.planned is not None:
            check_ramp(self.gates.lagrangian.ramp_steps, run.planned)
        if run.main and not run.states:
            with atomic_write(run.output_dir / self.log_name):
                pass
            self.gates.log_to(run.output_dir / self.log_name)

    def resumed(self, run: Run) -> None:
        if run.main:
            # drops the lines that were written after the checkpoint
            self.gates.log_to(run.output_dir / self.log_name)

    def step(self, run: Run) -> None:
        if run.main and int(self.gates.lagrangian.step) % self.gates.log_interval == 0:
            stats = self.model.last_stats.items()
            self.gates.note({k: float(v) for k, v in stats if v is not None})
        self.gates.after_step(HASTE if run.extra else 1.0)
        self.extra += run.extra

    def unfinished(self, run: Run) -> str:
        behind = self.gates.behind()
        if not behind or self.extra >= self.gates.extra_steps:
            return ""
        more = self.gates.extra_steps - self.extra
        return f"{behind}, and the training goes on for at most {more} steps"

    def state_dict(self) -> Dict[str, torch.Tensor]:
        return {"extra": torch.tensor(self.extra)}

    def load_state_dict(self, state: Dict[str, torch.Tensor]) -> None:
        self.extra = int(state.get("extra", 0))

    def epoch_end(self, run: Run) -> None:
        self.gates.epoch_end()
        if run.main:
            summary = json.dumps(self.gates.structure().widths())
            logging.info(f"{run.epoch}epoch structure: {summary}")

    def run_end(self, run: Run) -> None:
        if not run.main:
            return
        state = self.model.state_dict()
        gates = {k: v for k, v in state.items() if k.startswith("gates.")}
        weights = {k: v for k, v in state.items() if k not in gates}
        weights = as_written(self.model, weights)
        atomic_torch_save(weights, run.output_dir / "weights.pth")
        gates = {k[len("gates.") :]: v for k, v in gates.items()}
        atomic_torch_save(gates, run.output_dir / "gates.pth")
