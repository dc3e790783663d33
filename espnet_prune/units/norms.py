# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Sums over the weights of units, and layer norm over the open ones."""

from typing import Dict, Mapping

import torch
from torch import nn

from espnet_prune.units.graph import UnitGraph


def unit_norms(encoder: nn.Module, graph: UnitGraph) -> Dict[str, torch.Tensor]:
    """Return the L2 norm over all weights that go with each unit.

    Args:
        encoder: The encoder that `graph` was made of.
        graph: Its units.

    Returns:
        Norms (size,) per unit name; whole modules are not listed.
    """
    squares = {n: p.detach().float() ** 2 for n, p in encoder.named_parameters()}
    return {name: sums.sqrt() for name, sums in unit_sums(squares, graph).items()}


def unit_sums(
    values: Mapping[str, torch.Tensor], graph: UnitGraph
) -> Dict[str, torch.Tensor]:
    """Return the sum over all weights that go with each unit.

    Args:
        values: A value for every weight, by the name of its tensor; tensors that are
            not there, such as running statistics, do not count.
        graph: The units.

    Returns:
        Sums (size,) per unit name, on the CPU; whole modules are not listed.
    """
    sums = {}
    for unit in graph:
        if unit.kind == "module":
            continue
        sums[unit.name] = torch.zeros(unit.size)
        for part in unit.producers + unit.consumers:
            if part.tensor not in values:
                continue
            rows = values[part.tensor].cpu().movedim(part.dim, 0)
            entries = part.entries(torch.arange(unit.size))
            per_entry = rows.reshape(len(rows), -1).sum(1)[entries]
            sums[unit.name] += per_entry.view(unit.size, part.group).sum(1)
    return sums


def open_norm(
    norm: nn.LayerNorm, x: torch.Tensor, is_open: torch.Tensor
) -> torch.Tensor:
    """Apply a layer norm as it will be once the removed channels are cut.

    Args:
        norm: Norm over the last dimension.
        x: Its input (N, T, C).
        is_open: Which channels are open (C,), bool.

    Returns:
        (N, T, C), at least float32; removed channels hold the norm's bias.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    share = is_open.to(device=x.device, dtype=dtype)
    with torch.autocast(device_type=x.device.type, enabled=False):
        x, count = x.to(dtype), share.sum().clamp(min=1)
        mean = (x * share).sum(-1, keepdim=True) / count
        centred = (x - mean) * share
        variance = centred.square().sum(-1, keepdim=True) / count
        normed = centred * torch.rsqrt(variance + norm.eps)
        return normed * norm.weight.to(dtype) + norm.bias.to(dtype)
