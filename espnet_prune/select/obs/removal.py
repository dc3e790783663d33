# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Optimal brain surgeon for units: in which order they go, and what each costs.

A layer makes y = W x. Without the columns S of x, and with the other columns of W
solved anew, the mean squared error of its outputs o, weighted by f_o, is

    e(S) = sum_o f_o  W_oS (Hinv_SS)^-1 W_oS^T,    H = E x x^T,

and afterwards  W <- W - W_S (Hinv_SS)^-1 Hinv_S,:  and the same for Hinv. Units go one
by one, the one that costs least now first. (Optimal brain surgeon: Hassibi and Stork,
1992; for whole structures: Kurtic et al., ZipLM, 2023.)
"""

import math
from typing import List, NamedTuple, Sequence

import torch

DAMPING = 0.01  # of the mean second moment, so that H can be inverted
SHRINK = 0.8  # share of the units that are left when matrices are made smaller
# units from which on several go at a time, and how many times that happens at least
WIDE, TIMES = 4096, 512


class Curve(NamedTuple):
    """The units of a vector in the order in which they go.

    Attributes:
        order: The units, the first to go first.
        errors: Error once none, one, ... of them are removed; size + 1 entries.
    """

    order: List[int]
    errors: List[float]


def damped(second: torch.Tensor, damping: float = DAMPING) -> torch.Tensor:
    """Return second moments (C, C) that can be inverted."""
    found = second.clone()
    share = damping * second.diagonal().mean()
    found.diagonal().add_(share.clamp(min=1e-30))
    return found


class Layer:
    """A layer that loses columns; what is removed is taken out of the matrices.

    What removals take off the inverse is collected, and comes off when columns are
    taken out: one large product is much quicker than many small ones.

    Args:
        weight: (out, C), float64, scaled by the square root of f.
        second: Second moments of its input (C, C), invertible; used up, for of wide
            layers it takes gigabytes.
        group: Columns of a unit.
        own: Whether a unit, of one column, is an output, too, which goes with it.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        second: torch.Tensor,
        group: int,
        own: bool = False,
    ) -> None:
        self.weight = weight.clone()
        factor = torch.linalg.cholesky(second, out=second)
        self.inverse = torch.cholesky_inverse(factor, out=factor)
        self.group, self.own = group, own
        self._inner = torch.arange(group, device=weight.device)
        self._begin()

    def _begin(self) -> None:
        """Start to collect; what comes off are products of rows of `late`."""
        size = len(self.inverse)
        number = size // self.group
        most = math.ceil((1.0 - SHRINK) * number) + 1
        self._late = self.inverse.new_empty(min(most, number) * self.group, size)
        self._count = 0
        # of every unit, its rows and columns of the inverse as they are now
        blocks = self.inverse.view(number, self.group, number, self.group)
        self._blocks = blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1).clone()

    def errors(self) -> torch.Tensor:
        """Return what each unit costs now, (units,); of those left."""
        if self.group == 1:
            squares = self.weight.square()
            lost = squares.diagonal() if self.own else 0.0
            return (squares.sum(0) - lost) / self._blocks[:, 0, 0]
        columns = self.weight.view(len(self.weight), -1, self.group).permute(1, 2, 0)
        return (columns * torch.linalg.solve(self._blocks, columns)).sum((1, 2))

    def remove(self, units: torch.Tensor) -> torch.Tensor:
        """Remove some units; their columns mean nothing until `keep` takes them out.

        Args:
            units: Which, in their order.

        Returns:
            What each costs after those before it, (n,).
        """
        while self._count + len(units) * self.group > len(self._late):
            self._late = torch.cat([self._late, torch.empty_like(self._late)])
        own = (units[:, None] * self.group + self._inner).flatten()
        late = self._late[: self._count]
        rows = self.inverse[own] - late[:, own].T @ late
        block = rows[:, own] if len(units) > 1 else self._blocks[units[0]]
        factor = torch.linalg.cholesky(block)
        rows = torch.linalg.solve_triangular(factor, rows, upper=False)
        share = torch.linalg.solve_triangular(
            factor, self.weight[:, own].T, upper=False
        )
        self.weight -= share.T @ rows
        if self.own:
            self.weight[units] = 0.0
        inner = rows.view(len(own), -1, self.group).permute(1, 0, 2)
        self._blocks -= inner.transpose(1, 2) @ inner
        # nothing is left of them, and nothing is to divide by
        self._blocks[units] = torch.eye(self.group).to(self._blocks)
        self._late[self._count : self._count + len(own)] = rows
        self._count += len(own)
        return share.square().sum(1).view(len(units), self.group).sum(1)

    def keep(self, units: torch.Tensor) -> None:
        """Take out the columns of all other units; units (n,), ascending."""
        index = (units[:, None] * self.group + self._inner).flatten()
        self.weight = self.weight[:, index]
        if self.own:
            self.weight = self.weight[units]
        late = self._late[: self._count, index]
        self.inverse = self.inverse[index][:, index].addmm_(late.T, late, alpha=-1)
        self._begin()


def removal_curve(layers: Sequence[Layer]) -> Curve:
    """Remove all units of a vector, one by one.

    Of very many, those go together that cost least while all of them are there; what
    each then costs is counted as exactly.

    Args:
        layers: The layers that read it; they are used up.

    Returns:
        The order, and the errors, added over the layers. They rise from unit to unit.
    """
    units = torch.arange(len(layers[0].errors()), device=layers[0].weight.device)
    alive = torch.ones(len(units), dtype=torch.bool, device=units.device)
    order, errors = [], [0.0]
    many = len(units) >= WIDE and not any(layer.own for layer in layers)
    at_once = len(units) // TIMES if many else 1
    while alive.any():
        costs = torch.stack([layer.errors() for layer in layers]).sum(0)
        costs = costs.masked_fill(~alive, float("inf"))
        going = costs.argmin()[None]
        if at_once > 1:
            going = costs.argsort()[: min(at_once, int(alive.sum()))]
        errors_of = [layer.remove(going) for layer in layers]
        # one alone is counted without what it is as an output
        paid = torch.stack(errors_of).sum(0) if at_once > 1 else costs[going]
        order += units[going].tolist()
        for cost in paid.tolist():
            errors.append(errors[-1] + max(cost, 0.0))
        alive[going] = False
        left = int(alive.sum())
        if left < SHRINK * len(alive):  # smaller matrices are quicker
            kept = alive.nonzero().squeeze(1)
            for layer in layers:
                layer.keep(kept)
            units, alive = units[kept], alive[kept]
        if not left:
            break
    return Curve(order, errors)


def solve(
    weight: torch.Tensor, second: torch.Tensor, kept: torch.Tensor
) -> torch.Tensor:
    """Return the weights on some columns that come nearest to what all of them give.

    Args:
        weight: (out, C).
        second: Second moments of the input (C, C), invertible.
        kept: Columns that are left, (n,).

    Returns:
        (out, n): W H_:K H_KK^-1, solved from the weights as they were, which is more
        exact than the updates that led to the order.
    """
    factor = torch.linalg.cholesky(second[kept][:, kept])
    return torch.cholesky_solve(second[kept] @ weight.T, factor).T
