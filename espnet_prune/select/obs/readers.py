# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which layers read the units of a vector, and what they read as plain columns.

A mask multiplies the direct input of a layer, so that removing a unit is removing
columns of that layer's input. A convolution reads a column for every tap of its kernel.
"""

import math
from typing import Dict, List, NamedTuple, Optional

import torch
from torch import nn

from espnet_prune.units import MaskPoint, Unit, UnitGraph

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Reader(NamedTuple):
    """A layer that reads the units of a vector.

    Attributes:
        unit: Name of the vector.
        layer: Path of the layer.
        group: Columns of its weight, as (out, columns), that a unit owns.
        own: Whether a unit owns an output, too.
    """

    unit: str
    layer: str
    group: int
    own: bool = False


def readers_of(unit: Unit, root: nn.Module) -> List[Reader]:
    """Return the layers that read a vector; the first gives its module's output.

    A soft value may go into something else than a layer, such as the scale before a
    norm; the layer behind it then reads the units where their mask is "open".

    Args:
        unit: A vector of units, not a whole module.
        root: The module that it is in.
    """
    slices = [(part.tensor.rpartition(".")[0], part.group) for part in unit.consumers]
    slices += [(p.module, p.group) for p in unit.points if p.when == "open"]
    outputs = {part.tensor for part in unit.producers if part.dim == 0}
    found = []
    for path, group in slices:
        layer = root.get_submodule(path)
        if isinstance(layer, LAYERS):
            taps = layer.weight[0, 0].numel() if layer.weight.dim() > 2 else 1
            own = f"{path}.weight" in outputs
            found.append(Reader(unit.name, path, group * taps, own))
    return found


def all_readers(graph: UnitGraph, root: nn.Module) -> Dict[str, List[Reader]]:
    """Return the readers of every vector that has units, by its name."""
    units = [unit for unit in graph if unit.kind != "module" and unit.size]
    return {unit.name: readers_of(unit, root) for unit in units}


def norms_of(graph: UnitGraph) -> Dict[str, List[MaskPoint]]:
    """Return the layer norms over the units of a vector, by its name."""
    found = {u.name: [p for p in u.points if p.when == "norm"] for u in graph}
    return {name: points for name, points in found.items() if points}


def columns(
    layer: nn.Module, x: torch.Tensor, dim: int = -1, most: Optional[int] = None
) -> torch.Tensor:
    """Return what a layer reads: (N, rows, columns) for its input x.

    Args:
        layer: A Linear, a convolution over one or two dimensions, or a layer norm.
        x: (N, ..., C) for a Linear, (N, C, T) or (N, C, T, F) for a convolution.
        dim: Dimension of x that a layer norm is over.
        most: Rows of an utterance, at most; they are evenly spaced. All by default.

    Returns:
        The columns are ordered as in the weight, flattened to (out, columns). Of a
        layer norm they are its input, normalised.
    """
    if isinstance(layer, nn.LayerNorm):
        x = x.transpose(dim, -1)
        x = _thinned(x.reshape(len(x), -1, x.shape[-1]), most)
        return nn.functional.layer_norm(x, x.shape[-1:], eps=layer.eps)
    if isinstance(layer, nn.Linear):
        return _thinned(x.reshape(len(x), -1, x.shape[-1]), most)
    shape = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    for axis, (kernel, stride, padding, dilation) in enumerate(zip(*shape), start=2):
        pad = [0, 0] * (x.dim() - 1 - axis) + [padding, padding]
        x = nn.functional.pad(x, pad) if padding else x
        # a view with the taps in a dimension of their own, the last
        x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    places = x.shape[2 : 2 + len(layer.kernel_size)]
    rows = _thinned(torch.arange(math.prod(places), device=x.device)[None], most)[0]
    where: List[torch.Tensor] = []
    for size in reversed(places):
        where, rows = [rows % size, *where], rows // size
    return x[(slice(None), slice(None), *where)].transpose(1, 2).flatten(2)


def _thinned(rows: torch.Tensor, most: Optional[int]) -> torch.Tensor:
    """Return at most so many rows of each utterance; rows (N, rows, ...)."""
    return rows if most is None else rows[:, :: -(-rows.shape[1] // most)]


def output_rows(layer: nn.Module, y: torch.Tensor) -> torch.Tensor:
    """Return the outputs of a layer as (rows, out)."""
    if isinstance(layer, nn.Linear):
        return y.reshape(-1, y.shape[-1])
    return y.movedim(1, -1).reshape(-1, y.shape[1])
