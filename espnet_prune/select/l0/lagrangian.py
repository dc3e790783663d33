# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Augmented Lagrangian that leads expected sparsities along a ramp to their targets.

For every target the penalty is `multiplier * v + penalty / 2 * v**2` with
v = reached - target, and a multiplier of its own. The quadratic weight is fixed and the
multiplier integrates slowly by explicit dual ascent. Adam on the multiplier would
normalise the violation away, and integration alone runs away: a gate needs many steps
to travel from open to shut, meanwhile the multiplier winds up, and then all gates
close at once. A large violation therefore counts as `violation_limit`; not to integrate
it at all leaves the gates where they are when the quadratic term alone is too weak.

A target that others imply is one-sided: it pulls gates shut while too little is
removed, and leaves them alone when more is removed than it asks for (the augmented
Lagrangian of an inequality; Bertsekas, 1982, "Constrained Optimization and Lagrange
Multiplier Methods").
"""

import math
from typing import List, Optional, Sequence

import torch
from torch import nn

from espnet_prune.select.l0.conf import number
from espnet_prune.utils import UserError

# way of a gate from open (drop 0.01) to shut, in units of its parameter
TRAVEL = 6.2
RAMP_STEPS = 500
# by which a share that the gates expect may be short of its target in the end
TOLERANCE = 0.01
# multipliers integrate this much faster when a training goes on beyond its end: the
# targets no longer move, and it ends as soon as the gates are there
HASTE = 3.0
# a ramp this short may be longer than the training, which then goes on for it
SHORT = 20


def check_ramp(ramp_steps: int, steps: int) -> None:
    """Refuse a ramp that is longer than the training.

    Args:
        ramp_steps: Optimiser steps of the ramp.
        steps: Those of the training.

    Raises:
        UserError: It is longer, by more than what a training easily goes on for.
    """
    if ramp_steps > max(steps, SHORT):
        raise UserError(
            f"l0_conf: ramp_steps {ramp_steps} would not be over at the end of "
            f"training, which has {steps} steps; lower it, or train longer"
        )


class Lagrangian(nn.Module):
    """State of the budget controller. Floats are buffers, so a resume goes on exactly.

    Args:
        targets: Sparsities to reach, 0 to 1.
        one_sided: Which of them may be exceeded; None for none.
        ramp_steps: Optimiser steps over which the targets rise linearly from 0.
        gate_lr: Learning rate of the gates. If None, a tenth of the ramp is enough to
            close a gate that nothing holds open, but at most 0.2.
        penalty: Weight of the quadratic term.
        dual_rate: Step size of the multipliers; derived from `gate_lr` if None.
        violation_limit: What a multiplier integrates of |v| at most.
        at_once: Whether the targets are those of the end from the first step.

    Raises:
        UserError: A value that is no number of its range, or a ramp that is too short
            for the gates to follow.
    """

    def __init__(
        self,
        targets: Sequence[float],
        one_sided: Optional[Sequence[bool]] = None,
        ramp_steps: int = RAMP_STEPS,
        gate_lr: Optional[float] = None,
        penalty: float = 50.0,
        dual_rate: Optional[float] = None,
        violation_limit: float = 0.1,
        at_once: bool = False,
    ) -> None:
        number("ramp_steps", ramp_steps, least=1, whole=True)
        number("penalty", penalty, least=0)
        number("violation_limit", violation_limit, above=0)
        if gate_lr is not None:
            number("gate_lr", gate_lr, above=0)
        if dual_rate is not None:
            number("dual_rate", dual_rate, least=0)
        super().__init__()
        self.gate_lr = (
            min(0.2, 10 * TRAVEL / ramp_steps) if gate_lr is None else gate_lr
        )
        if self.gate_lr * ramp_steps < 2 * TRAVEL:
            raise UserError(
                f"l0_conf: ramp_steps {ramp_steps} is too short for gate_lr "
                f"{self.gate_lr:g}: a gate moves {TRAVEL} to close and at most gate_lr "
                f"per step; use at least {math.ceil(2 * TRAVEL / self.gate_lr)} steps"
            )
        self.final_targets = [float(target) for target in targets]
        self.one_sided = list(one_sided or [False] * len(self.final_targets))
        self.ramp_steps = ramp_steps
        self.penalty, self.at_once = penalty, at_once
        # 0.3 per step goes well with a gate that moves 0.2 per step
        self.dual_rate = 1.5 * self.gate_lr if dual_rate is None else dual_rate
        self.violation_limit = violation_limit
        zeros = torch.zeros(len(self.final_targets), dtype=torch.float64)
        self.register_buffer("multiplier", zeros)
        self.register_buffer("step", torch.zeros((), dtype=torch.float64))

    def share(self) -> float:
        """Return how far along the ramp this step is, 0 to 1."""
        return 1.0 if self.at_once else min(1.0, float(self.step) / self.ramp_steps)

    def targets(self) -> List[float]:
        """Return the sparsities asked for at this step."""
        return [self.share() * target for target in self.final_targets]

    def loss(self, reached: torch.Tensor) -> torch.Tensor:
        """Return the penalty; reached (targets,) -> ()."""
        violation = reached - reached.new_tensor(self.targets())
        multiplier = self.multiplier.to(reached)
        pressure = multiplier + self.penalty * violation.detach()
        active = (pressure < 0) | ~self._may_exceed()
        terms = multiplier * violation + 0.5 * self.penalty * violation.square()
        return (terms * active).sum()

    def after_step(self, reached: torch.Tensor, haste: float = 1.0) -> None:
        """Dual ascent and one step along the ramp, after an optimiser step.

        Args:
            reached: (targets,).
            haste: How many times `dual_rate` the multipliers integrate by.
        """
        violation = reached - reached.new_tensor(self.targets())
        limit = self.violation_limit
        self.multiplier += haste * self.dual_rate * violation.clamp(-limit, limit)
        exceed = self._may_exceed()
        self.multiplier[exceed] = self.multiplier[exceed].clamp(max=0.0)
        self.step += 1.0

    def behind(self, reached: Sequence[float]) -> List[bool]:
        """Say which shares are short of their targets; (targets,) -> (targets,).

        What others imply is met when they are.
        """
        return [
            not implied and share < target - TOLERANCE
            for share, target, implied in zip(
                reached, self.final_targets, self.one_sided
            )
        ]

    def _may_exceed(self) -> torch.Tensor:
        return torch.tensor(self.one_sided, device=self.multiplier.device)
