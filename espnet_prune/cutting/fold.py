# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Fold soft masks into the weights that consume the masked activations."""

import torch
from torch import nn

from espnet_prune.units import Masks, UnitGraph


@torch.no_grad()
def fold(root: nn.Module, graph: UnitGraph, masks: Masks) -> None:
    """Scale, in place, every consumer column by its unit's mask.

    A module's mask scales weight and bias of its last layer. Afterwards the encoder or
    model gives without masks what it gave with them (0 included).
    """
    state = {**dict(root.named_parameters()), **dict(root.named_buffers())}
    for unit in graph:
        mask = masks[unit.name].to(next(iter(state.values())).device)
        if bool((mask == 1).all()):
            continue
        for name in unit.scaled:
            state[name].mul_(mask)
        for part in unit.consumers:
            weight = state[part.tensor]
            shape = [1] * weight.dim()
            shape[part.dim] = -1
            weight.mul_(mask.repeat_interleave(part.group).view(shape))
