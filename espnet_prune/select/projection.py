# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The projection of scores to masks that meet a budget in integers."""

import collections
import itertools
from typing import (
    Counter,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import torch

from espnet_prune.measure.cost import MODEL, WHOLE, covers
from espnet_prune.select.budget import Budget, Pricing, least
from espnet_prune.units import UnitGraph

# how many vectors about the threshold, and how many groups of each, may be traded
NEAR = 8


class Group(NamedTuple):
    """Units of one vector that go together."""

    name: str
    units: Tuple[int, ...]


def project(
    graph: UnitGraph,
    scores: Mapping[str, torch.Tensor],
    budget: Budget,
    round_to: int = 1,
) -> Dict[str, torch.Tensor]:
    """Turn scores into masks of 0 and 1 that meet every target of the budget.

    One threshold over all units of a part that has a target, then one over all units:
    they are removed in the order of their scores until the cost fits, then those that
    still fit come back. Where that leaves a part short of its target, a few units about
    the threshold are traded for others, because one channel of a front end can cost
    more than the tolerance. A module with a negative score starts removed; its units
    count as removed first, and are the first to return when more than asked for is
    removed.

    The result is maximal: none of the removed units could come back to a module that
    is open. Closed modules open again only where a part would otherwise stay further
    below its target than the tolerance.

    Args:
        graph: The units.
        scores: Score (size,) per unit name; higher stays longer. Only units listed
            here, in parts that a target covers, can go.
        budget: The budget; see `check_reachable`.
        round_to: Keep a multiple of this many units in every vector that has more.

    Returns:
        Masks of 0 and 1 per unit name, for every unit in `scores`, and for every module
        that has lost all its units: it is removed, so that masked equals cut.
    """
    pricing = Pricing(graph, budget)
    state = _State(pricing)
    order = _removal_order(graph, scores, round_to)
    removed: Set[Group] = set()
    for part in dict.fromkeys((*pricing.leaves, WHOLE, MODEL)):
        targets = [i for i, target in enumerate(budget) if target.part == part]
        if targets:
            rest = [g for g in order if covers(part, pricing.parts[g.name])]
            rest = [group for group in rest if group not in removed]
            removed.update(rest[: _fewest(state, removed, rest, targets)])
    left = _use_up(state, [group for group in order if group in removed])
    left = _use_up(state, _trade(state, order, set(left)))
    masks = {name: torch.ones(graph[name].size) for name in scores}
    for name, units in left:
        masks[name][list(units)] = 0.0
    masks = graph.close(masks)
    return {n: mask for n, mask in masks.items() if n in scores or not mask.any()}


def implied(
    graph: UnitGraph, names: Sequence[str], budget: Budget, round_to: int = 1
) -> List[bool]:
    """Say which targets are met by whatever meets the others.

    For each, the others are met with the units that cost it least for what they cost
    the others. If it is met even then, equality for all is out of reach, and leading
    its cost up to the target would only work against the others.

    Args:
        graph: The units.
        names: Units that can go.
        budget: The budget.
        round_to: See `project`.

    Returns:
        A flag per target; at least one is False.
    """
    flags = [False] * len(budget)
    pricing = Pricing(graph, budget)
    saved = {}
    for name in names:
        left = pricing.costs({name: graph[name].size - 1})
        saved[name] = [(a - b) / a for a, b in zip(pricing.full, left)]
    for i in range(len(budget)):
        others = [j for j, flag in enumerate(flags) if not flag and j != i]
        if not others:
            continue
        scores = {}
        for name, shares in saved.items():
            share = shares[i] / (sum(shares[j] for j in others) + 1e-30)
            scores[name] = torch.full((graph[name].size,), share)
        rest = Budget(tuple(budget.targets[j] for j in others))
        masks = project(graph, scores, rest, round_to)
        counts = {name: int(mask.sum()) for name, mask in masks.items()}
        flags[i] = pricing.costs(counts)[i] <= pricing.limits[i]
    return flags


def _removal_order(
    graph: UnitGraph, scores: Mapping[str, torch.Tensor], round_to: int
) -> List[Group]:
    """List groups of units, the first to go first."""
    steps: List[Tuple[float, int, Group]] = []
    # a module whose units have no scores goes as a whole, the others unit by unit
    by_unit = {graph[name].module for name in scores}
    for rank, unit in enumerate(graph):
        if unit.name not in scores or unit.name in by_unit:
            continue
        score = scores[unit.name].double()
        # a removed module takes its units along: they go before all others
        if unit.module in scores and float(scores[unit.module]) < 0:
            score = score - 1e6 + float(scores[unit.module]) * 1e3
        ranked, values = score.argsort(stable=True).tolist(), score.tolist()
        # the first group takes what does not divide, so that multiples remain
        size = round_to if unit.size > round_to else 1
        first = unit.size % size or size
        groups = [ranked[:first]]
        groups += [ranked[i : i + size] for i in range(first, unit.size, size)]
        if least(unit, round_to):
            groups = groups[:-1]
        for units in groups:
            mean = sum(values[i] for i in units) / len(units)
            steps.append((mean, rank, Group(unit.name, tuple(units))))
    steps.sort(key=lambda step: step[:2])
    return [group for _, _, group in steps]


def _fewest(
    state: "_State", removed: Set[Group], rest: List[Group], targets: List[int]
) -> int:
    """Return how many of `rest` must go, in their order, to meet some targets."""
    low, high = 0, len(rest)
    while low < high:
        middle = (low + high) // 2
        state.remove([*removed, *rest[:middle]])
        if state.met(targets):
            high = middle
        else:
            low = middle + 1
    return low


class _State:
    """What is removed, and what the rest costs.

    Args:
        pricing: Prices the targets.
    """

    def __init__(self, pricing: Pricing) -> None:
        self.pricing = pricing
        self.removed: Counter[str] = collections.Counter()

    def remove(self, groups: Iterable[Group]) -> None:
        """Start from these groups removed, all others there."""
        self.removed = collections.Counter()
        for name, units in groups:
            self.removed[name] += len(units)

    def counts(self) -> Dict[str, int]:
        """Return what is left of every vector that has lost a unit."""
        graph = self.pricing.graph
        return {name: graph[name].size - n for name, n in self.removed.items()}

    def met(self, targets: Optional[Iterable[int]] = None) -> bool:
        """Say whether some targets, or all, are met."""
        costs, limits = self.pricing.costs(self.counts()), self.pricing.limits
        chosen = range(len(costs)) if targets is None else targets
        return all(costs[i] <= limits[i] for i in chosen)

    def bring_back(self, group: Group) -> bool:
        """Bring a group back if all targets are still met; say whether it did."""
        self.removed[group.name] -= len(group.units)
        if self.met():
            return True
        self.removed[group.name] += len(group.units)
        return False

    def fill(self, part: str) -> float:
        """Return how near a part is to its targets; 1 or more: within tolerance."""
        pricing = self.pricing
        rows = zip(pricing.budget, pricing.costs(self.counts()), pricing.limits)
        return max(
            (
                cost / ((1.0 - target.price.tolerance) * limit)
                for target, cost, limit in rows
                if target.covers(part)
            ),
            default=1.0,
        )


def _use_up(state: _State, removed: List[Group]) -> List[Group]:
    """Bring groups back, the last to go first, while the budget has room.

    Args:
        state: Any state; it is left at what is returned.
        removed: Groups, the first to go first.

    Returns:
        Those that stay removed.
    """
    state.remove(removed)
    graph, parts = state.pricing.graph, state.pricing.parts
    left = removed[::-1]
    tried: Set[Tuple[str, int]] = set()  # groups of one vector and size cost the same
    while True:
        counts = state.pricing.consistent(state.counts())
        stay: List[Group] = []
        lost: List[Group] = []  # groups of modules that are removed
        for group in left:
            shut = counts.get(graph[group.name].module) == 0
            key = (group.name, len(group.units))
            if shut or key in tried:
                lost += [group] if shut else []
            elif state.bring_back(group):
                continue
            else:
                tried.add(key)
            stay.append(group)
        left = stay
        short = {part for part in state.pricing.leaves if state.fill(part) < 1.0}
        for group in lost:
            key = (group.name, len(group.units))
            if key in tried or parts[group.name] not in short:
                continue
            if state.bring_back(group):
                left.remove(group)
                break
            tried.add(key)
        else:
            return left
        # the module is open now, and its other units cost less than the first
        tried = {key for key in tried if key[0] != group.name}


def _trade(state: _State, order: List[Group], removed: Set[Group]) -> List[Group]:
    """Trade units of two vectors where a part is not within its tolerance.

    Some units of one vector return and as few as possible of another go instead; the
    smallest trade that brings the part within its tolerance is taken, or the one that
    comes nearest. Only the vectors next to the threshold are tried.

    Args:
        state: The state without the groups of `removed`.
        order: All groups, the first to go first.
        removed: The groups that are removed.

    Returns:
        The groups that are removed now, the first to go first.
    """
    for part in state.pricing.leaves:
        start = min(state.fill(part), 1.0)
        if start >= 1.0:
            continue
        here = [group for group in order if state.pricing.parts[group.name] == part]
        back = _by_vector(group for group in reversed(here) if group in removed)
        away = _by_vector(group for group in here if group not in removed)
        best: Tuple[float, Set[Group]] = (start, removed)
        most = NEAR  # groups that return
        for returning, going in itertools.product(back, away):
            if returning[0].name == going[0].name:
                continue
            state.remove(removed)
            trial, spare = set(removed), going[::-1]
            for number, group in enumerate(returning[:most], start=1):
                state.removed[group.name] -= len(group.units)
                trial.remove(group)
                while spare and not state.met():
                    other = spare.pop()
                    state.removed[other.name] += len(other.units)
                    trial.add(other)
                if not state.met():
                    break
                fill = min(state.fill(part), 1.0)
                if fill > best[0] or fill == 1.0:
                    best = (fill, set(trial))
                if fill == 1.0:
                    most = number - 1  # only a smaller trade is better now
                    break
        removed = best[1]
        state.remove(removed)
    return [group for group in order if group in removed]


def _by_vector(groups: Iterable[Group]) -> List[List[Group]]:
    """Sort groups by their vector; only the first few vectors."""
    found: Dict[str, List[Group]] = {}
    for group in groups:
        found.setdefault(group.name, []).append(group)
    return list(found.values())[:NEAR]
