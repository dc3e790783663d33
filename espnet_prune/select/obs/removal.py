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

from typing import List, NamedTuple, Sequence

import torch

DAMPING = 0.01  # of the mean second moment, so that H can be inverted


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
    share = damping * second.diagonal().mean()
    return second + torch.eye(len(second)).to(second) * share.clamp(min=1e-30)


class Layer:
    """A layer that loses columns; what is removed is taken out of the matrices.

    Args:
        weight: (out, C), float64, scaled by the square root of f.
        second: Second moments of its input (C, C), invertible.
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
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(second))
        self.group, self.own = group, own

    def errors(self) -> torch.Tensor:
        """Return what each unit costs now, (units,)."""
        if self.group == 1:
            squares = self.weight.square()
            lost = squares.diagonal() if self.own else 0.0
            return (squares.sum(0) - lost) / self.inverse.diagonal()
        number = len(self.inverse) // self.group
        blocks = self.inverse.view(number, self.group, number, self.group)
        own = blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        columns = self.weight.view(len(self.weight), number, self.group)
        columns = columns.permute(1, 2, 0)
        return (columns * torch.linalg.solve(own, columns)).sum((1, 2))

    def remove(self, unit: int) -> None:
        """Remove a unit; its columns are 0 until `keep` takes them out."""
        own = slice(unit * self.group, (unit + 1) * self.group)
        rows = self.inverse[own]
        factor = torch.linalg.solve(rows[:, own], rows)
        self.weight -= self.weight[:, own] @ factor
        if self.own:
            self.weight[unit] = 0.0
        self.inverse -= rows.T @ factor
        self.inverse[own] = 0.0
        self.inverse[:, own] = 0.0
        self.inverse[own, own] = torch.eye(self.group).to(self.inverse)

    def keep(self, units: torch.Tensor) -> None:
        """Take out the columns of all other units; units (n,), ascending."""
        inner = torch.arange(self.group, device=units.device)
        index = (units[:, None] * self.group + inner).flatten()
        self.weight = self.weight[:, index]
        if self.own:
            self.weight = self.weight[units]
        self.inverse = self.inverse[index][:, index]


def removal_curve(layers: Sequence[Layer]) -> Curve:
    """Remove all units of a vector, one by one.

    Args:
        layers: The layers that read it; they are used up.

    Returns:
        The order, and the errors, added over the layers. They rise from unit to unit.
    """
    units = torch.arange(len(layers[0].inverse) // layers[0].group)
    units = units.to(layers[0].inverse.device)
    alive = torch.ones(len(units), dtype=torch.bool, device=units.device)
    order, errors = [], [0.0]
    for _ in range(len(units)):
        costs = torch.stack([layer.errors() for layer in layers]).sum(0)
        costs = costs.masked_fill(~alive, float("inf"))
        position = int(costs.argmin())
        order.append(int(units[position]))
        errors.append(errors[-1] + max(float(costs[position]), 0.0))
        alive[position] = False
        for layer in layers:
            layer.remove(position)
        left = int(alive.sum())
        if left < 0.8 * len(alive):  # smaller matrices are quicker
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
