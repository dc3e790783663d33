# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""|weight x gradient|, summed over the weights of every unit."""

from typing import Any, Dict

import torch

from espnet_prune.select.gradients import backward_passes
from espnet_prune.units.norms import unit_sums


def taylor_scores(plan: Any, max_utts: int) -> Dict[str, torch.Tensor]:
    """Return the score (size,) of every unit but whole modules, by name.

    Args:
        plan: The plan of the selection.
        max_utts: How many utterances are heard, see `backward_passes`.

    Raises:
        UserError: There is no labelled data.
    """
    sums: Dict[str, torch.Tensor] = {}
    for _ in backward_passes(plan, max_utts):
        for name, weight in plan.root.named_parameters():
            if weight.grad is not None:
                change = (weight * weight.grad).detach().abs()
                sums[name] = sums[name] + change if name in sums else change
        plan.model.zero_grad()
    return unit_sums(sums, plan.graph)
