# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Layer norms over units that go: gains and biases for those that stay.

Such a norm takes mean and variance over the units that are left, so that these come out
otherwise than before. What it gave follows from its normalised input z, and so does
what it will give: (z_c - m) / s, with m and s the mean and the deviation of z over what
is left. With s as it is on average, gain and bias of a unit are a line, and
the moments of z are enough to fit it.
"""

from typing import Dict, List, Mapping, Tuple

import torch

from espnet_prune.select.obs.statistics import Moments
from espnet_prune.units import MaskPoint, Masks


def refitted(
    weight: torch.Tensor, bias: torch.Tensor, seen: Moments, kept: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Return gains and biases with which the units that are left change least.

    Args:
        weight: Gains of all units (C,), float64.
        bias: Their biases (C,).
        seen: Moments of the normalised input.
        kept: Units that are left, (n,).

    Returns:
        Gains and biases of those, (n,) each.
    """
    second, mean = seen.second(centred=False)[kept][:, kept], seen.mean()[kept]
    squares, with_middle, middle = second.diagonal(), second.mean(1), second.mean()
    deviation = (squares.mean() - middle).clamp(min=0.0).sqrt()
    shift = mean - mean.mean()
    variance = squares - 2.0 * with_middle + middle - shift.square()
    slope = (squares - with_middle - mean * shift) / variance.clamp(min=1e-12)
    slope = torch.where(variance > 1e-6, slope, torch.ones_like(slope))
    own = weight[kept]
    return own * slope * deviation, bias[kept] + own * (mean - slope * shift)


def renormed(
    state: Mapping[str, torch.Tensor],
    norms: Mapping[str, List[MaskPoint]],
    moments: Mapping[str, Moments],
    before: Masks,
    after: Masks,
) -> Dict[str, torch.Tensor]:
    """Return the gains and biases of norms that change when units are removed.

    Args:
        state: Tensors of the dense root, as they are before.
        norms: Norms over the units of a vector.
        moments: Moments of their normalised inputs before.
        before: Masks of 0 and 1 before.
        after: Masks after.

    Returns:
        Tensors by name, in the dense shape.
    """
    found = {}
    for name, points in norms.items():
        place = before[name].nonzero().squeeze(1)
        kept = after[name][place].nonzero().squeeze(1)
        if len(kept) in (0, len(place)):
            continue
        for point in points:
            seen = moments[point.module]
            tensors = [f"{point.module}.{kind}" for kind in ("weight", "bias")]
            old = [state[t][place].double().to(seen.gram.device) for t in tensors]
            for tensor, new in zip(tensors, refitted(*old, seen, kept)):
                found[tensor] = state[tensor].clone()
                found[tensor][place[kept]] = new.to(state[tensor])
    return found
