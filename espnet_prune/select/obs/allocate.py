# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From what units cost in error, and save, to one order in which all of them go.

The order is that of steepest descent: the next step is the one, of all vectors, that
adds the least error to what it saves. Steps lie on the lower convex hull of a vector's
curve, so that a module goes at once where that is worth more than thinning it. What a
unit saves depends on what else is left, as between two convolutions in a row; it is
counted anew where a neighbour has changed.
"""

from typing import Dict, List, Mapping, Sequence, Tuple

import torch

from espnet_prune.select.budget import Pricing
from espnet_prune.select.obs.removal import Curve
from espnet_prune.units import UnitGraph

STEPS = 64  # of a vector, at most

_Step = Tuple[float, int]  # error per saving, units that are removed then


class _Bill:
    """What every target costs at some numbers of units, and what a change saves.

    Args:
        pricing: The costs that the budget bounds.
        names: Vectors that may lose units.
    """

    def __init__(self, pricing: Pricing, names: Sequence[str]) -> None:
        self.counts: Dict[str, int] = dict(pricing.models[0].variables)
        self.limits, self.costs = pricing.limits, [float(n) for n in pricing.full]
        self.modules = {n: pricing.graph[n].module for n in names}
        self.terms: Dict[str, List[Tuple[int, float, Tuple[str, ...]]]] = {}
        for i, (target, model) in enumerate(zip(pricing.budget, pricing.models)):
            for paid, factors in model.terms_of(target.part):
                term = (i, float(target.price.of(paid)), factors)
                for name in set(factors):
                    self.terms.setdefault(name, []).append(term)

    def neighbours(self, name: str) -> List[str]:
        """Return the vectors whose savings depend on how many units this one has."""
        own = [n for n in (name, self.modules[name]) if n]
        touched = {f for n in own for term in self.terms.get(n, ()) for f in term[2]}
        return [n for n in self.modules if n in touched or self.modules[n] in touched]

    def saved(self, name: str, count: int) -> List[float]:
        """Return what each target saves with fewer units of one vector."""
        changed = {name: count}
        terms = list(self.terms.get(name, ()))
        module = self.modules[name]
        if module and not count:
            changed[module] = 0
            terms += [t for t in self.terms.get(module, ()) if name not in t[2]]
        saved = [0.0] * len(self.costs)
        for i, value, factors in terms:
            before = after = value
            for factor in factors:
                before *= self.counts[factor]
                after *= changed.get(factor, self.counts[factor])
            saved[i] += before - after
        return saved

    def unmet(self) -> List[int]:
        """Return the targets that are not met; all, once all are."""
        found = [i for i, c in enumerate(self.costs) if c > self.limits[i]]
        return found or list(range(len(self.costs)))

    def remove(self, name: str, count: int) -> None:
        """Set the number of units of a vector."""
        for i, saved in enumerate(self.saved(name, count)):
            self.costs[i] -= saved
        self.counts[name] = count
        if self.modules[name] and not count:
            self.counts[self.modules[name]] = 0


def removal_ranks(
    graph: UnitGraph, pricing: Pricing, curves: Mapping[str, Curve]
) -> Dict[str, torch.Tensor]:
    """Return when every unit goes: 0 for the first, larger for later ones.

    Args:
        graph: The units.
        pricing: The costs that the budget bounds.
        curves: Of the vectors that may lose units.

    Returns:
        (size,) per vector; the units of one step follow each other.
    """
    bill, removed = _Bill(pricing, list(curves)), dict.fromkeys(curves, 0)
    ranks = {name: torch.zeros(graph[name].size) for name in curves}
    best: Dict[str, _Step] = {}
    stale, unmet, rank = list(curves), bill.unmet(), 0
    while True:
        for name in stale:
            best.pop(name, None)
            step = _best_step(bill, graph, curves[name], name, removed[name], unmet)
            if step is not None:
                best[name] = step
        if not best:
            break
        name = min(best, key=lambda n: best[n][0])
        until = best[name][1]
        for unit in curves[name].order[removed[name] : until]:
            ranks[name][unit] = rank
            rank += 1
        removed[name] = until
        bill.remove(name, graph[name].size - until)
        stale, before = bill.neighbours(name), unmet
        unmet = bill.unmet()
        if unmet != before:
            stale = list(curves)
    for name, curve in curves.items():  # what always stays
        for unit in curve.order[removed[name] :]:
            ranks[name][unit] = rank
            rank += 1
    return ranks


def _best_step(
    bill: _Bill,
    graph: UnitGraph,
    curve: Curve,
    name: str,
    removed: int,
    unmet: Sequence[int],
) -> "_Step | None":
    """Return the step of a vector that adds the least error to what it saves."""
    unit = graph[name]
    most, size = unit.size - unit.minimum, unit.size
    if removed >= most:
        return None

    def share(saved: Sequence[float]) -> float:
        return sum(saved[i] / bill.limits[i] for i in unmet)

    one = share(bill.saved(name, size - removed - 1)) if removed + 1 < size else 0.0
    every = max(1, size // STEPS)
    places = list(range(removed + every, most, every)) + [most]
    best = None
    for until in places:
        saved = one * (until - removed)
        if until == size:
            saved = share(bill.saved(name, 0))
        if saved <= 0:
            continue
        slope = (curve.errors[until] - curve.errors[removed]) / saved
        if best is None or slope < best[0]:
            best = (slope, until)
    return best
