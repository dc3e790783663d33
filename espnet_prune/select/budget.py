# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Budgets, and the projection of scores to the exact integer budget."""

import dataclasses
from typing import Any, Dict, List, Mapping, Tuple

import torch

from espnet_prune.measure.cost import CostModel
from espnet_prune.units import UnitGraph
from espnet_prune.utils import UserError, check_keys

KINDS = ("params", "macs")
TOLERANCE = {"params": 0.005, "macs": 0.01}
UNIT_KINDS = (
    "head",
    "ffn_unit",
    "conv_channel",
    "cgmlp_channel",
    "subsampling_channel",
    "wave_channel",
    "module",
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much of the encoder has to go.

    Attributes:
        kind: "params" or "macs".
        sparsity: Share of the dense encoder's cost that is removed, 0 to 1.
        frames: Length in input frames at which MACs are counted.
    """

    kind: str = "params"
    sparsity: float = 0.5
    frames: int = 1000

    @classmethod
    def from_conf(cls, conf: Mapping[str, Any]) -> "Budget":
        """Read `budget:` of a configuration.

        Raises:
            UserError: Unknown key or kind, or a sparsity outside (0, 1).
        """
        check_keys(conf, [f.name for f in dataclasses.fields(cls)], "budget")
        budget = cls(**conf)
        if budget.kind not in KINDS:
            raise UserError(f"budget: kind '{budget.kind}' is not one of {KINDS}")
        if not isinstance(budget.sparsity, float) or not 0 < budget.sparsity < 1:
            raise UserError(
                f"budget: sparsity {budget.sparsity!r} must be a number between 0 and "
                "1, such as 0.5 to remove half"
            )
        if not isinstance(budget.frames, int) or budget.frames < 20:
            raise UserError(f"budget: frames {budget.frames!r} must be at least 20")
        return budget

    def cost_of(self, model: CostModel, counts: Mapping[str, int]) -> int:
        """Return the cost, in this budget's unit, of integer counts."""
        return getattr(model.exact(counts), self.kind)


def check_reachable(graph: UnitGraph, kinds: Tuple[str, ...], budget: Budget) -> None:
    """Refuse a budget below what can be removed.

    Raises:
        UserError: With every unit of `kinds` gone the encoder is still too large;
            the sentence names the floor and what holds it up.
    """
    check_keys(kinds, UNIT_KINDS, "units")
    model = CostModel(graph.dense, budget.frames)
    full = budget.cost_of(model, {})
    least = {unit.name: unit.minimum for unit in graph.of_kinds(kinds)}
    floor = budget.cost_of(model, least)
    if floor > (1.0 - budget.sparsity) * full:
        fixed = sorted({unit.kind for unit in graph if unit.kind not in kinds})
        held = (
            f"units of kind {', '.join(fixed)} are not pruned"
            if fixed
            else ("the rest are norms and the output layer of the subsampling")
        )
        raise UserError(
            f"budget: sparsity {budget.sparsity} of {budget.kind} cannot be reached; "
            f"at most {1 - floor / full:.3f} can be removed, because {held}"
        )


def project(
    graph: UnitGraph,
    scores: Mapping[str, torch.Tensor],
    budget: Budget,
    round_to: int = 1,
) -> Dict[str, torch.Tensor]:
    """Turn scores into masks of 0 and 1 that meet the budget.

    One threshold over all units: units are removed in the order of their scores until
    the cost fits, and the last ones are chosen so that as much as possible of the
    budget is used. A module with a negative score starts closed; its units count as
    removed first, and are the first to return when more than asked for is gone.

    Args:
        graph: The units.
        scores: Score (size,) per unit name; higher stays longer. Only units listed
            here can go.
        budget: The budget.
        round_to: Keep a multiple of this many units in every vector that has more.

    Returns:
        Masks of 0 and 1 per unit name, for every unit in `scores`.
    """
    model = CostModel(graph.dense, budget.frames)
    target = (1.0 - budget.sparsity) * budget.cost_of(model, {})
    order = _removal_order(graph, scores, round_to)

    def masks_after(steps: int) -> Dict[str, torch.Tensor]:
        masks = {name: torch.ones(graph[name].size) for name in scores}
        for name, units in order[:steps]:
            masks[name][units] = 0.0
        return graph.close(masks)

    def cost_after(steps: int) -> int:
        return budget.cost_of(model, _counts(graph, masks_after(steps)))

    low, high = 0, len(order)
    while low < high:  # the fewest removals that fit
        middle = (low + high) // 2
        if cost_after(middle) <= target:
            high = middle
        else:
            low = middle + 1
    masks = masks_after(low)
    _use_up(graph, model, budget, target, order[:low], masks)
    return {name: mask for name, mask in graph.close(masks).items() if name in scores}


def _removal_order(
    graph: UnitGraph, scores: Mapping[str, torch.Tensor], round_to: int
) -> List[Tuple[str, List[int]]]:
    """List groups of units, the first to go first."""
    steps: List[Tuple[float, int, str, List[int]]] = []
    for rank, unit in enumerate(graph):
        if unit.name not in scores or unit.kind == "module":
            continue
        score = scores[unit.name].double()
        # a closed module takes its units along: they go before all others
        if unit.module in scores and float(scores[unit.module]) < 0:
            score = score - 1e6 + float(scores[unit.module]) * 1e3
        ranked = score.argsort(stable=True).tolist()
        # the first group takes what does not divide, so that multiples remain
        size = round_to if unit.size > round_to else 1
        first = unit.size % size or size
        groups = [ranked[:first]]
        groups += [ranked[i : i + size] for i in range(first, unit.size, size)]
        if unit.minimum:
            groups = groups[:-1]
        for units in groups:
            steps.append((float(score[units].mean()), rank, unit.name, units))
    steps.sort(key=lambda step: step[:2])
    return [(name, units) for _, _, name, units in steps]


def _counts(graph: UnitGraph, masks: Mapping[str, torch.Tensor]) -> Dict[str, int]:
    return {name: int((mask != 0).sum()) for name, mask in masks.items()}


def _use_up(
    graph: UnitGraph,
    model: CostModel,
    budget: Budget,
    target: float,
    removed: List[Tuple[str, List[int]]],
    masks: Dict[str, torch.Tensor],
) -> None:
    """Bring units back, the last removed first, while the budget has room."""
    counts = _counts(graph, masks)
    slack = TOLERANCE[budget.kind] * target / 10
    for name, units in reversed(removed):
        if target - budget.cost_of(model, counts) <= slack:
            break
        unit = graph[name]
        if unit.module and not counts[unit.module]:
            continue  # would bring a whole module back for one unit
        trial = {**counts, name: counts[name] + len(units)}
        if budget.cost_of(model, trial) <= target:
            masks[name][units] = 1.0
            counts = trial
