# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From a score for every unit to masks within the budget."""

from typing import Callable, Dict, Mapping, Tuple

import torch

from espnet_prune.select.budget import UNIT_KINDS, Budget, Pricing, check_reachable
from espnet_prune.select.plan import Plan
from espnet_prune.select.projection import project
from espnet_prune.select.selection import Selection
from espnet_prune.units import UnitGraph


def by_quantiles(
    values: Mapping[str, torch.Tensor],
    graph: UnitGraph,
    budget: Budget,
    kinds: Tuple[str, ...] = UNIT_KINDS,
    round_to: int = 1,
) -> Dict[str, torch.Tensor]:
    """Remove the units of the smallest values.

    Values are compared within a kind over the whole graph; between kinds their
    quantiles are, so that every kind loses the same share. A module goes when its
    last unit does.

    Args:
        values: (size,) for every unit, by name; those of whole modules are not used.
        graph: The units.
        budget: What may stay.
        kinds: Kinds of units that may go, in the parts that the budget covers.
        round_to: Keep a multiple of this many units in every vector.

    Returns:
        Masks of 0 and 1 per unit name.

    Raises:
        UserError: See `check_reachable`.
    """
    check_reachable(graph, tuple(kinds), budget, round_to)
    pricing, scores = Pricing(graph, budget), {}
    for kind in kinds:
        found = pricing.units((kind,))
        if kind == "module":
            scores.update({unit.name: torch.ones(1) for unit in found})
        elif found:
            pooled = torch.cat([values[unit.name] for unit in found])
            quantiles = torch.empty_like(pooled)
            quantiles[pooled.argsort(stable=True)] = torch.linspace(0, 1, len(pooled))
            sizes = [unit.size for unit in found]
            scores.update(
                {u.name: part for u, part in zip(found, quantiles.split(sizes))}
            )
    return project(graph, scores, budget, round_to)


def by_values(
    values: Mapping[str, torch.Tensor],
    graph: UnitGraph,
    budget: Budget,
    kinds: Tuple[str, ...] = UNIT_KINDS,
    round_to: int = 1,
) -> Dict[str, torch.Tensor]:
    """Remove the units of the smallest values, whatever their kind.

    For values that can be compared between vectors; otherwise as `by_quantiles`.
    """
    check_reachable(graph, tuple(kinds), budget, round_to)
    found = Pricing(graph, budget).units(kinds)
    scores = {unit.name: values[unit.name] for unit in found if unit.kind != "module"}
    return project(graph, scores, budget, round_to)


def selected(
    plan: Plan,
    values: Mapping[str, torch.Tensor],
    by: Callable[..., Dict[str, torch.Tensor]] = by_quantiles,
) -> Selection:
    """Return what is selected for a plan, and for any other budget.

    Args:
        plan: The plan.
        values: See `by_quantiles`.
        by: How values of different vectors are compared, also `by_values`.
    """

    def select(budget: Budget) -> Selection:
        masks = by(values, plan.graph, budget, plan.kinds, plan.round_to)
        return Selection(plan.graph, masks, again=select)

    return select(plan.budget)
