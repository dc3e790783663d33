# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Magnitude of units, and layer norm over the open ones."""

from typing import Dict

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
    parameters = dict(encoder.named_parameters())
    norms = {}
    for unit in graph:
        if unit.kind == "module":
            continue
        squares = torch.zeros(unit.size)
        for part in unit.producers + unit.consumers:
            if part.tensor not in parameters:
                continue  # running statistics are no weights
            weight = parameters[part.tensor].detach().float().cpu()
            rows = (
                weight.movedim(part.dim, 0).flatten(1)
                if weight.dim() > 1
                else (weight[:, None])
            )
            entries = part.entries(torch.arange(unit.size))
            per_entry = rows[entries].square().sum(1)
            squares += per_entry.view(unit.size, part.group).sum(1)
        norms[unit.name] = squares.sqrt()
    return norms


def open_norm(
    norm: nn.LayerNorm, x: torch.Tensor, is_open: torch.Tensor
) -> torch.Tensor:
    """Apply a layer norm as it will be once the closed channels are cut.

    Args:
        norm: Norm over the last dimension.
        x: Its input (N, T, C).
        is_open: Which channels are open (C,), bool.

    Returns:
        (N, T, C), at least float32; closed channels hold the norm's bias.
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
