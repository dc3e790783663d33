# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Magnitude pruning: the honest baseline."""

from typing import Dict, Tuple

import torch
from torch import nn

from espnet_prune.select.budget import UNIT_KINDS, Budget, Pricing, check_reachable
from espnet_prune.select.projection import project
from espnet_prune.units import UnitGraph, unit_norms


def magnitude(
    encoder: nn.Module,
    graph: UnitGraph,
    budget: Budget,
    units: Tuple[str, ...] = UNIT_KINDS,
    round_to: int = 1,
) -> Dict[str, torch.Tensor]:
    """Remove the units with the smallest L2 norm.

    Norms are compared within a kind over the whole encoder; between kinds their
    quantiles are, so that every kind loses the same share. A module goes when its
    last unit does.

    Args:
        encoder: The trained encoder.
        graph: Its units.
        budget: What the encoder may cost.
        units: Kinds of units that may go, in the parts that the budget covers.
        round_to: Keep a multiple of this many units in every vector.

    Returns:
        Masks of 0 and 1 per unit name.

    Raises:
        UserError: See `check_reachable`.
    """
    check_reachable(graph, tuple(units), budget, round_to)
    norms, pricing = unit_norms(encoder, graph), Pricing(graph, budget)
    scores = {}
    for kind in units:
        found = pricing.units((kind,))
        if kind == "module":
            scores.update({unit.name: torch.ones(1) for unit in found})
        elif found:
            pooled = torch.cat([norms[unit.name] for unit in found])
            quantiles = torch.empty_like(pooled)
            quantiles[pooled.argsort(stable=True)] = torch.linspace(0, 1, len(pooled))
            sizes = [unit.size for unit in found]
            scores.update(
                {u.name: part for u, part in zip(found, quantiles.split(sizes))}
            )
    return project(graph, scores, budget, round_to)
