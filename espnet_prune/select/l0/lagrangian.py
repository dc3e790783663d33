# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Augmented Lagrangian that leads the expected sparsity along a ramp to its target.

The penalty is `multiplier * v + penalty / 2 * v**2` with v = reached - target. The
quadratic weight is fixed and the multiplier integrates slowly by explicit dual ascent.
Adam on the multiplier would normalise the violation away, and integration alone runs
away: a gate needs many steps to travel from open to closed, meanwhile the multiplier
winds up, and then all gates close at once.
"""

import math
from typing import Optional

import torch
from torch import nn

from espnet_prune.utils import UserError

# way of a gate from open (drop 0.01) to closed, in units of its parameter
TRAVEL = 6.2


class Lagrangian(nn.Module):
    """State of the budget controller. Floats are buffers, so a resume goes on exactly.

    Args:
        target: Sparsity to reach, 0 to 1.
        ramp_steps: Optimiser steps over which the target rises linearly from 0.
        gate_lr: Learning rate of the gates; derived from the ramp if None.
        penalty: Weight of the quadratic term.
        dual_rate: Step size of the multiplier; derived from `gate_lr` if None.
        integrate_within: The multiplier rests while |v| is larger than this.

    Raises:
        UserError: The ramp is too short for the gates to follow.
    """

    def __init__(
        self,
        target: float,
        ramp_steps: int = 500,
        gate_lr: Optional[float] = None,
        penalty: float = 50.0,
        dual_rate: Optional[float] = None,
        integrate_within: float = 0.1,
    ) -> None:
        if ramp_steps < 1:
            raise UserError(f"l0_conf: ramp_steps {ramp_steps} must be positive")
        super().__init__()
        self.gate_lr = (
            min(0.2, 2.6 * TRAVEL / ramp_steps) if gate_lr is None else gate_lr
        )
        if self.gate_lr * ramp_steps < 2 * TRAVEL:
            raise UserError(
                f"l0_conf: ramp_steps {ramp_steps} is too short for gate_lr "
                f"{self.gate_lr:g}: a gate moves {TRAVEL} to close and at most gate_lr "
                f"per step; use at least {math.ceil(2 * TRAVEL / self.gate_lr)} steps"
            )
        self.final_target = target
        self.ramp_steps = ramp_steps
        self.penalty = penalty
        # 0.3 per step goes well with a gate that moves 0.2 per step
        self.dual_rate = 1.5 * self.gate_lr if dual_rate is None else dual_rate
        self.integrate_within = integrate_within
        for name in ("multiplier", "step"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def target(self) -> float:
        """Return the sparsity asked for at this step."""
        return self.final_target * min(1.0, float(self.step) / self.ramp_steps)

    def loss(self, reached: torch.Tensor) -> torch.Tensor:
        """Return the penalty; reached () -> ()."""
        violation = reached - self.target()
        multiplier = float(self.multiplier)
        return multiplier * violation + 0.5 * self.penalty * violation.square()

    def after_step(self, reached: float) -> None:
        """Dual ascent and one step along the ramp, after an optimiser step."""
        violation = reached - self.target()
        if abs(violation) <= self.integrate_within:
            self.multiplier += self.dual_rate * violation
        self.step += 1.0
