# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Magnitude of units."""

from typing import Dict

import torch
from torch import nn

from espnet_prune.units.graph import UnitGraph


def unit_norms(encoder: nn.Module, graph: UnitGraph) -> Dict[str, torch.Tensor]:
    """Return the L2 norm over all weights that go with each unit.

    Args:
        encoder: The encoder that `graph` was made of.
        graph: Its units.

    Returns:
        Norms (size,) per unit name; whole modules are not listed.
    """
    parameters = dict(encoder.named_parameters())
    norms = {}
    for unit in graph:
        if unit.kind == "module":
            continue
        squares = torch.zeros(unit.size)
        for part in unit.producers + unit.consumers:
            if part.tensor not in parameters:
                continue  # running statistics are no weights
            weight = parameters[part.tensor].detach().float().cpu()
            rows = (
                weight.movedim(part.dim, 0).flatten(1)
                if weight.dim() > 1
                else (weight[:, None])
            )
            entries = part.entries(torch.arange(unit.size))
            per_entry = rows[entries].square().sum(1)
            squares += per_entry.view(unit.size, part.group).sum(1)
        norms[unit.name] = squares.sqrt()
    return norms
