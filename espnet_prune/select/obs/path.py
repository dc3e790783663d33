# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The path on which a model loses its units, in rounds, and every size on it.

What a layer reads changes once layers before it have lost units. So a round removes
some units, and the next one calibrates anew on what is left. Within a round one order
leads through all sizes: any of them is a matter of solving the weights for it.
"""

import copy
import dataclasses
import logging
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.cutting.cutter import cut_sharing
from espnet_prune.select.budget import Budget, Pricing
from espnet_prune.select.obs.allocate import removal_ranks
from espnet_prune.select.obs.calibrate import curves, energy, gather, log_curves
from espnet_prune.select.obs.norms import renormed
from espnet_prune.select.obs.readers import all_readers, norms_of
from espnet_prune.select.obs.removal import DAMPING, Curve
from espnet_prune.select.obs.speech import Heard, Judge
from espnet_prune.select.obs.statistics import Moments
from espnet_prune.select.obs.weights import State, solved
from espnet_prune.select.plan import Plan
from espnet_prune.select.projection import project
from espnet_prune.select.selection import Selection
from espnet_prune.units import Masks, UnitGraph
from espnet_prune.utils import UserError


@dataclasses.dataclass
class Round:
    """One calibration, and the order in which units go from there.

    Attributes:
        masks: What is left of all units when it begins, 0 or 1.
        changed: Tensors of the root that are not the dense ones by then.
        moments: What the readers saw, by layer.
        ranks: When every unit that is left goes, by vector.
    """

    masks: Masks
    changed: State
    moments: Dict[str, Moments]
    ranks: Dict[str, torch.Tensor]


def left_of(graph: UnitGraph, masks: Masks) -> UnitGraph:
    """Return the units that are left, at the prices of the dense root."""
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    units = [dataclasses.replace(u, size=sizes[u.name]) for u in graph if sizes[u.name]]
    return UnitGraph(units, graph.structure(masks), graph.places)


class RemovalPath:
    """A model on its way to smaller sizes.

    Args:
        plan: What is pruned, and the budget of the smallest size.
        damping: Share of the mean second moment that is added to it.

    Attributes:
        rounds: The rounds so far.
        end: Masks of the smallest size.
        dense: Tensors of what is pruned; they are the model's own, which may not
            change while there is a path.
    """

    def __init__(self, plan: Plan, damping: float = DAMPING) -> None:
        self.plan, self.damping = plan, damping
        self.rounds: List[Round] = []
        self.end = plan.graph.close({})
        self.readers = all_readers(plan.graph, plan.root)
        self.norms = norms_of(plan.graph)
        self.dense = dict(plan.root.state_dict())

    @property
    def graph(self) -> UnitGraph:
        """The units of the dense root."""
        return self.plan.graph

    def model(self, changed: Mapping[str, torch.Tensor], masks: Masks) -> nn.Module:
        """Return the model, cut to some masks, with some tensors changed.

        It shares its other tensors with the dense one.
        """
        plan = self.plan
        device = next(plan.model.parameters()).device
        small = cut_sharing(plan.root, self.graph, masks, changed)
        if plan.root is plan.model:
            return small.to(device).eval()
        whole = copy.copy(plan.model)
        whole._modules = dict(plan.model._modules, encoder=small)
        return whole.to(device).eval()

    def order(self) -> Dict[str, torch.Tensor]:
        """Return when every unit goes, by vector: larger for later ones, (size,)."""
        found, begun = {}, 0.0
        for current in self.rounds:
            for name, ranks in current.ranks.items():
                own = found.setdefault(name, torch.zeros(self.graph[name].size))
                own[current.masks[name].bool()] = begun + ranks
            begun += 1 + max(float(r.max()) for r in current.ranks.values())
        return found

    def at(self, budget: Budget) -> Selection:
        """Return what stays within a budget, with its weights.

        Args:
            budget: Any, down to where the path ends.

        Raises:
            UserError: The path ends before.
        """
        limits = Pricing(self.graph, budget).limits
        least = Pricing(left_of(self.graph, self.end), budget).full
        for target, limit, reached in zip(budget, limits, least):
            if limit < reached * (1.0 - target.price.tolerance):
                digits = 2 if target.price.device else 0
                raise UserError(
                    f"{target} is beyond the end of this path, where "
                    f"{reached:,.{digits}f} {target.kind} are left and not "
                    f"{limit:,.{digits}f}; "
                    "calibrate again for a smaller size"
                )
        for index in range(len(self.rounds) - 1, -1, -1):
            current = self.rounds[index]
            start = Pricing(left_of(self.graph, current.masks), budget).full
            if not index or any(s > lim for s, lim in zip(start, limits)):
                break
        masks, changed = self._step(current, current.ranks, budget)
        weights = dict(self.plan.model.state_dict())
        prefix = "" if self.plan.root is self.plan.model else "encoder."
        weights.update({f"{prefix}{k}": v for k, v in changed.items()})
        weights = {k: v.detach().cpu() for k, v in weights.items()}
        record = {"round": index + 1}
        return Selection(
            self.graph, masks, weights=weights, record=record, again=self.at
        )

    def _step(
        self, current: Round, ranks: Mapping[str, torch.Tensor], budget: Budget
    ) -> Tuple[Masks, State]:
        """Return masks and changed tensors where a round has come to a budget."""
        graph = left_of(self.graph, current.masks)
        limits = Pricing(self.graph, budget).limits
        small = project(
            graph, ranks, _relative(graph, budget, limits), self.plan.round_to
        )
        masks = {name: mask.clone() for name, mask in current.masks.items()}
        for name, mask in small.items():
            alive = masks[name].bool()
            masks[name][alive] = mask.to(masks[name])
        masks = self.graph.close(masks)
        state = {**self.dense, **current.changed}
        seen = current.moments, current.masks, masks
        new = solved(state, self.graph, self.readers, *seen, self.damping)
        norms = renormed(state, self.norms, *seen)
        return masks, {**current.changed, **new, **norms}

    def go(
        self,
        heard: Heard,
        judge: Judge,
        budgets: Sequence[Budget],
        powers: Sequence[float],
    ) -> List[Dict[str, Any]]:
        """Go down in rounds.

        Args:
            heard: What is calibrated on.
            judge: Chooses the scaling of the curves.
            budgets: Where the rounds end, the last at the smallest size.
            powers: How far the curves of all vectors are brought to one height, 0 for
                as they are, 1 for the same; the best is taken in each round.

        Returns:
            What every round tells: {budget, power, error, loss}.
        """
        masks = self.graph.close({})
        changed: State = {}
        told = []
        for number, budget in enumerate(budgets, start=1):
            words = ", ".join(str(target) for target in budget)
            logging.info(f"Round {number} of {len(budgets)}: {words}")
            model = self.model(changed, masks)
            current, found = self._calibrate(model, masks, changed, heard)
            best: Optional[Tuple] = None
            for power in powers:
                ranks = self._ranks(current, found, budget, power)
                step = self._step(current, ranks, budget)
                score = judge(self.model(step[1], step[0])) if len(powers) > 1 else None
                if best is None or score < best[0]:
                    best = (score, power, ranks, step)
            score, power, current.ranks, (masks, changed) = best
            self.rounds.append(current)
            score = score or judge(self.model(changed, masks))
            error, loss = score
            row = {"budget": budget.conf(), "power": power, "error": error}
            told.append({**row, "loss": loss})
            logging.info(f"error {error:.4f}, loss {loss:.4f}")
        self.end = masks
        return told

    def _calibrate(
        self, model: nn.Module, masks: Masks, changed: State, heard: Heard
    ) -> Tuple[Round, Dict[str, Curve]]:
        """Return a round that begins, and the curves of its vectors."""
        root = model if self.plan.root is self.plan.model else model.encoder
        graph, kinds = left_of(self.graph, masks), self.plan.kinds
        pricing = Pricing(graph, self.plan.budget)
        going = {unit.name: unit for unit in pricing.units(kinds)}
        inner = {u.name: u for u in graph if u.kind != "module"}
        wanted = [n for n, u in inner.items() if n in going or u.module in going]
        readers = {n: r for n, r in all_readers(graph, root).items() if n in wanted}
        moments = gather(model, root, readers, self.norms, heard)
        found = {}
        some = {n: readers[n] for n in wanted if n in going}
        measured = curves(root, graph, some, moments, self.damping)
        for name in wanted:
            if name in going:
                found[name] = measured[name]
            else:
                layer = readers[name][0].layer
                whole = energy(root.get_submodule(layer), moments[layer])
                found[inner[name].module] = Curve([0], [0.0, whole])
        log_curves(found)
        return Round(masks, changed, moments, {}), found

    def _ranks(
        self,
        current: Round,
        found: Mapping[str, Curve],
        budget: Budget,
        power: float,
    ) -> Dict[str, torch.Tensor]:
        graph = left_of(self.graph, current.masks)
        limits = Pricing(self.graph, budget).limits
        pricing = Pricing(graph, _relative(graph, budget, limits))
        scaled = {
            name: Curve(
                c.order, [e / max(c.errors[-1], 1e-30) ** power for e in c.errors]
            )
            for name, c in found.items()
        }
        return removal_ranks(graph, pricing, scaled)


def _relative(graph: UnitGraph, budget: Budget, limits: Sequence[float]) -> Budget:
    """Return a budget with the same limits for what is left of the units."""
    full = Pricing(graph, budget).full
    return budget.with_sparsity(
        [max(0.0, 1.0 - limit / whole) for limit, whole in zip(limits, full)]
    )


def rounds_to(budget: Budget, sparsities: Sequence[float]) -> Iterator[Budget]:
    """Yield where rounds end, from their largest sparsities; the budget comes last."""
    most = max(target.sparsity for target in budget)
    for sparsity in sparsities:
        if sparsity < most:
            yield budget.scaled(sparsity / most)
    yield budget
