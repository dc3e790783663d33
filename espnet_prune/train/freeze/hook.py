# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Weights that are held for the first updates, and the option that holds them.

A new output layer sends gradients of no meaning into a trained encoder, which forgets
what it had learned before the layer has learned anything: so the encoder waits for it.
"""

import argparse
import dataclasses
import logging
from typing import Any, Dict, List, Optional

import torch
from espnet2.utils.nested_dict_action import NestedDictAction
from torch import nn

from espnet_prune.runtime.reader import read_as
from espnet_prune.train.extensions import Extension
from espnet_prune.train.hooks import Run, TrainHook
from espnet_prune.utils import UserError, nearest

KEY = "freeze_conf"


@dataclasses.dataclass(frozen=True)
class FreezeConf:
    """What is held, and how long.

    Attributes:
        param: Modules or parameters by name, as ESPnet's `freeze_param` takes them.
        updates: Steps of the optimizer after which they are trained like all others.
    """

    param: List[str]
    updates: int


class FreezeHook(TrainHook):
    """Holds weights for some steps: no gradient, no decay, no state in the optimizer.

    Dropout goes on in what is held, and so do the statistics of batch norms.

    Args:
        names: The parameters, by their names in the model.
        updates: Steps that they are held for.

    Attributes:
        steps: Steps of the optimizer so far.
    """

    name, skips = "freeze", True

    def __init__(self, names: List[str], updates: int) -> None:
        self.names, self.updates, self.steps = names, updates, 0
        self._held: Optional[List[nn.Parameter]] = None

    def forward_begin(self, model: nn.Module) -> None:
        """Hold the weights, or let them go."""
        if self.steps < self.updates and self._held is None:
            own = [model.get_parameter(name) for name in self.names]
            # what freeze_param holds for good is not ours to let go
            self._held = [p for p in own if p.requires_grad]
            self._set(False)
        elif self.steps >= self.updates and self._held:
            self._set(True)
            self._held = []
            logging.info(
                f"{KEY}: all weights are trained, {self.steps} updates were without"
            )

    def _set(self, trained: bool) -> None:
        for parameter in self._held or []:
            parameter.requires_grad = trained

    def step(self, run: Run) -> None:
        self.steps += 1

    def run_end(self, run: Run) -> None:
        self._set(True)

    def state_dict(self) -> Dict[str, torch.Tensor]:
        return {"step": torch.tensor(self.steps)}

    def load_state_dict(self, state: Dict[str, torch.Tensor]) -> None:
        self.steps = int(state["step"])


class Freeze(Extension):
    """A training whose first updates hold some weights, `--freeze_conf`."""

    what, adds_loss = "weights held at first", False

    def add_options(self, group: Any) -> None:
        group.add_argument(
            f"--{KEY}",
            action=NestedDictAction,
            default=dict(),
            help="Do not train some weights in the first updates, "
            "{param: [encoder], updates: 600}",
        )

    def wanted(self, args: argparse.Namespace) -> bool:
        return bool(getattr(args, KEY, None))

    def check(self, args: argparse.Namespace) -> None:
        if self.wanted(args):
            _read(args)

    def extend(self, args: argparse.Namespace, model: nn.Module) -> None:
        """Add the hook.

        Raises:
            UserError: The model has nothing of a name, or nothing that is trained.
        """
        if not self.wanted(args):
            return
        conf, names = _read(args), [name for name, _ in model.named_parameters()]
        found = set()
        for given in conf.param:
            own = [n for n in names if n == given or n.startswith(f"{given}.")]
            if not own:
                known = {n.split(".")[0] for n in names}
                raise UserError(
                    f"{KEY}: param: the model has no '{given}'"
                    f"{nearest(given, sorted(known))}"
                )
            found.update(own)
        if found == set(names):
            raise UserError(f"{KEY}: param: nothing is left to be trained")
        model.add_hook(FreezeHook([n for n in names if n in found], conf.updates))


def _read(args: argparse.Namespace) -> FreezeConf:
    conf = FreezeConf(**read_as(FreezeConf, getattr(args, KEY), KEY))
    if not conf.param or conf.updates < 1:
        raise UserError(f"{KEY}: param names something, and updates is above 0")
    return conf


EXTENSION = Freeze()
