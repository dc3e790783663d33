# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The weights that are solved anew once units are removed.

They stand in tensors of the dense shape, at the rows and columns that are left: what a
selection hands to the cut.
"""

from typing import Dict, List, Mapping

import torch

from espnet_prune.select.obs.readers import Reader
from espnet_prune.select.obs.removal import DAMPING, damped, solve
from espnet_prune.select.obs.statistics import Moments
from espnet_prune.units import Masks, UnitGraph

State = Dict[str, torch.Tensor]


def positions(
    graph: UnitGraph, masks: Masks, tensor: str, shape: torch.Size
) -> List[torch.Tensor]:
    """Return which entries of every dimension of a tensor are left.

    Args:
        graph: Units of the dense root.
        masks: Masks of 0 and 1 for all of them.
        tensor: Name of the tensor.
        shape: Its shape in the dense root.
    """
    left = [torch.ones(size, dtype=torch.bool) for size in shape]
    for unit in graph:
        for part in (*unit.producers, *unit.consumers):
            if part.tensor == tensor and unit.kind != "module":
                lost = (masks[unit.name] == 0).nonzero().squeeze(1)
                left[part.dim][part.entries(lost)] = False
    return [mask.nonzero().squeeze(1) for mask in left]


def solved(
    state: Mapping[str, torch.Tensor],
    graph: UnitGraph,
    readers: Mapping[str, List[Reader]],
    moments: Mapping[str, Moments],
    before: Masks,
    after: Masks,
    damping: float = DAMPING,
) -> State:
    """Return the tensors that change when units are removed.

    Args:
        state: Tensors of the dense root, as they are before.
        graph: Its units.
        readers: Readers of every vector.
        moments: What the readers saw before, of the units that were left.
        before: Masks of 0 and 1 before.
        after: Masks after; what was removed stays removed.
        damping: See `removal.damped`.

    Returns:
        Weights and biases by name, in the dense shape.
    """
    found: State = {}
    for name, some in readers.items():
        alive = before[name].bool()
        kept = after[name].bool()[alive]
        if not kept.any() or kept.all():
            continue
        for reader in some:
            seen = moments[reader.layer]
            tensors = [f"{reader.layer}.weight", f"{reader.layer}.bias"]
            weight, bias = (state.get(tensor) for tensor in tensors)
            place = positions(graph, before, tensors[0], weight.shape)
            own = weight[torch.meshgrid(*place, indexing="ij")]
            old = own.flatten(1).double().to(seen.gram.device)
            columns = kept.repeat_interleave(reader.group).nonzero().squeeze(1)
            columns = columns.to(old.device)
            second = damped(seen.second(centred=bias is not None), damping)
            new = torch.zeros_like(old)
            new[:, columns] = solve(old, second, columns)
            changed = weight.clone()
            changed[torch.meshgrid(*place, indexing="ij")] = new.view(own.shape).to(
                weight.device, weight.dtype
            )
            found[tensors[0]] = changed
            if bias is not None:
                shift = ((old - new) @ seen.mean()).to(bias.device)
                moved = bias.clone()
                moved[place[0]] = (bias[place[0]].double() + shift).to(bias.dtype)
                found[tensors[1]] = moved
    return found
