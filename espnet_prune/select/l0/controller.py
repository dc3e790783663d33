# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What gates are steered by: expected costs, the Lagrangian, and the projection."""

import contextlib
from typing import Any, Dict, Iterator, Optional, Sequence

import torch

from espnet_prune.measure.cost import CostModel, ExpectedCost
from espnet_prune.select.budget import Budget, Pricing
from espnet_prune.select.l0.hard_concrete import SHIFT, open_probability
from espnet_prune.select.l0.lagrangian import TOLERANCE, Lagrangian
from espnet_prune.select.projection import implied, project
from espnet_prune.units import UnitGraph
from espnet_prune.utils import UserError


class Controller:
    """Leads gates to a budget; it holds no gate.

    Args:
        graph: The units.
        budget: What may stay in the end.
        units: Kinds of units that have gates, in the parts that the budget covers.
        round_to: Keep a multiple of this many units in every vector.
        **lagrangian: See `Lagrangian`.

    Attributes:
        names: Vectors that have gates, in the order of theta.
        sizes: How many each has.
        lagrangian: The state; whoever holds the gates saves it with them.
    """

    def __init__(
        self,
        graph: UnitGraph,
        budget: Budget,
        units: Sequence[str],
        round_to: int,
        **lagrangian: Any,
    ) -> None:
        self.graph, self.budget, self.round_to = graph, budget, round_to
        self.names = [unit.name for unit in Pricing(graph, budget).units(units)]
        self.sizes = [graph[name].size for name in self.names]
        self.lagrangian = Lagrangian(
            [target.sparsity for target in budget],
            implied(graph, self.names, budget, round_to),
            **lagrangian,
        )
        self._segments = torch.repeat_interleave(
            torch.arange(len(self.sizes)), torch.tensor(self.sizes)
        )
        self._expected = [
            ExpectedCost(CostModel(graph.dense, t.frames), self.names, t.kind, t.part)
            for t in budget
        ]

    def by_name(self, values: torch.Tensor) -> Dict[str, torch.Tensor]:
        """Return one value per gate (gates,) by vector, each (size,)."""
        return dict(zip(self.names, values.split(self.sizes)))

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sum one value per gate over every vector; (gates,) -> (vectors,)."""
        segments = self._segments.to(values.device)
        return values.new_zeros(len(self.sizes)).index_add(0, segments, values)

    def sparsity(self, theta: torch.Tensor) -> torch.Tensor:
        """Return the expected share that is removed of each target's cost.

        Args:
            theta: Parameters of the gates (gates,).

        Returns:
            (targets,), differentiable in theta.
        """
        with fp32(theta):
            counts = self.sums(open_probability(theta.float()))
            return torch.stack(
                [1.0 - cost(counts) / cost.full for cost in self._expected]
            )

    def check_clamp(self, theta: torch.Tensor, clamp: float) -> None:
        """Refuse a bound within which gates cannot close far enough.

        Raises:
            UserError: It is too small.
        """
        most = self.sparsity(torch.full_like(theta, -clamp)).tolist()
        for target, share in zip(self.budget, most):
            if share < target.sparsity - TOLERANCE:
                raise UserError(
                    f"l0_conf: clamp {clamp:g} lets gates close only so far that "
                    f"{share:.3f} goes, which is not {target}; raise it"
                )

    def behind(self, theta: torch.Tensor) -> str:
        """Say which targets the gates do not expect yet; "" if they expect all."""
        expected = self.sparsity(theta).tolist()
        rows = zip(self.budget, expected, self.lagrangian.behind(expected))
        return "; ".join(
            f"{target}: {share:.4f} expected by the gates"
            for target, share, behind in rows
            if behind
        )

    def project(
        self, theta: torch.Tensor, budget: Optional[Budget] = None
    ) -> Optional[Dict[str, torch.Tensor]]:
        """Return masks of 0 and 1 that meet the current targets exactly.

        The expected counts only steer; here one threshold over all gates decides, and
        the integers fit the budget.

        Args:
            theta: Parameters of the gates (gates,).
            budget: Another budget than that to which the gates were led.

        Returns:
            Masks by name, or None while nothing has to go.
        """
        share = self.lagrangian.share()
        if share <= 0:
            return None
        # a module's gate is shut when it is more often 0 than not
        scores = {
            name: value.cpu() + (SHIFT if self.graph[name].kind == "module" else 0)
            for name, value in self.by_name(theta.detach().float()).items()
        }
        budget = (budget or self.budget).scaled(share)
        return project(self.graph, scores, budget, self.round_to)

    def by_target(self, **values: Sequence[Any]) -> Dict[str, Any]:
        """Give every target its key: the plain one if it is the only one."""
        if len(self.budget) == 1:
            return {key: row[0] for key, row in values.items()}
        return {
            f"{key}_{name}": value
            for key, row in values.items()
            for name, value in zip(self.budget.names, row)
        }


@contextlib.contextmanager
def fp32(like: torch.Tensor) -> Iterator[None]:
    """Switch autocast off on the device of a tensor."""
    with torch.autocast(device_type=like.device.type, enabled=False):
        yield
