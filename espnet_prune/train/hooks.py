# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What may happen besides training, in places that the trainer calls."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, ContextManager, Dict, List, Optional, Sequence, Tuple

import torch

from espnet_prune.train.ranks import Part
from espnet_prune.utils import atomic_torch_save


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
    """Base of all hooks; override what is needed.

    The trainer calls what takes a `Run`; the model, in the forward pass of a batch that
    it learns from, what takes itself.

    Attributes:
        name: Its name in the checkpoint.
        module: What becomes a submodule of the model, under this name: its parameters
            are trained with those of the model.
        own_rate: Learning rate of these parameters by Adam, whatever rule the weights
            have; they are then left out of gradient clipping, too. None: they are
            weights like all others.
        skips: Whether there are steps in which some weights have no gradient.
    """

    name = "hook"
    module: Optional[torch.nn.Module] = None
    own_rate: Optional[float] = None
    skips = False

    def forward_begin(self, model: torch.nn.Module) -> None:
        """Before the forward pass."""

    def watch(self, model: torch.nn.Module) -> ContextManager[Any]:
        """Return what is entered before ESPnet's forward pass and left after it."""
        return contextlib.nullcontext()

    def losses(self, model: torch.nn.Module) -> Dict[str, Part]:
        """Return losses by name, which `model.mix` weighs; in float32."""
        return {}

    def penalty(
        self, model: torch.nn.Module
    ) -> Optional[Tuple[torch.Tensor, Dict[str, torch.Tensor]]]:
        """Return a scalar that is added to the loss as it is, and statistics."""
        return None

    def open_blocks(self) -> Optional[List[bool]]:
        """Say which encoder blocks do something in this pass; None: all of them."""
        return None

    def run_start(self, run: Run) -> None:
        """Before the first epoch, before a checkpoint is loaded."""

    def resumed(self, run: Run) -> None:
        """After a checkpoint was loaded."""

    def batch(self, run: Run) -> None:
        """Before every batch."""

    def step(self, run: Run) -> None:
        """After every real optimiser step (not after a skipped one)."""

    def epoch_end(self, run: Run) -> None:
        """After the validation of an epoch, before its checkpoint is written."""

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
