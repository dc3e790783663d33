# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The hard concrete distribution (Louizos et al., 2018), always in fp32.

A gate is a stretched binary concrete variable clipped to [0, 1], so it is exactly 0 or
exactly 1 with positive probability and still has a gradient in between.
"""

import math

import torch

BETA = 2.0 / 3.0
GAMMA, ZETA = -0.1, 1.1
EPS = 1e-6
# P(z > 0) = sigmoid(theta + SHIFT)
SHIFT = -BETA * math.log(-GAMMA / ZETA)
SOFT_SLOPE = 0.8


def initial_theta(drop: float) -> float:
    """Return the log-odds of staying open for an initial drop rate in (0, 1)."""
    return math.log(1.0 - drop) - math.log(drop)


def sample(theta: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Draw gates; theta, u (n,) -> z (n,) in [0, 1], differentiable in theta.

    Args:
        theta: Gate parameters, fp32.
        u: Uniform noise in (0, 1), fp32: 1 - 1e-6 is 1 in half precision.
    """
    u = u.clamp(EPS, 1.0 - EPS)
    s = torch.sigmoid((u.log() - (1.0 - u).log() + theta) / BETA)
    return (GAMMA + (ZETA - GAMMA) * s).clamp(0.0, 1.0)


def open_probability(theta: torch.Tensor) -> torch.Tensor:
    """Return P(z > 0); (n,) -> (n,)."""
    return torch.sigmoid(theta + SHIFT)


def soft_value(theta: torch.Tensor) -> torch.Tensor:
    """Return the value that an open gate has when nothing is drawn; (n,) -> (n,)."""
    return torch.sigmoid(SOFT_SLOPE * theta / BETA)
