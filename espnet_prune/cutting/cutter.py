# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Cut a model to a Structure: fold masks into weights, and slice."""

from typing import Any, Dict, Mapping, Optional

import torch
from torch import nn

from espnet_prune.families import unit_graph
from espnet_prune.structure import Structure
from espnet_prune.units import Masks, UnitGraph, narrow, unit_norms, without_masks
from espnet_prune.utils import UserError


def cut(
    root: nn.Module, structure: Structure, gates: Optional[Any] = None
) -> nn.Module:
    """Return a smaller copy of an encoder, or of a model with all its stacks.

    Args:
        root: The encoder or model to cut; it is left as it is.
        structure: How much of every module to keep.
        gates: Which units to keep: `Gates`, or masks per unit name whose soft values
            are folded into the weights. Without it the units with the largest L2
            norm stay.

    Returns:
        The cut encoder or model, on the same device and in the same mode. It gives what
        the masked one gives.

    Raises:
        UserError: The structure does not fit the encoder, or the gates do not keep
            what the structure says.
    """
    small = without_masks(root)
    graph = unit_graph(small)
    structure = graph.dense.with_widths(structure.widths())
    if gates is None:
        masks = graph.first(structure, unit_norms(small, graph))
    else:
        masks = graph.close(gates.masks() if hasattr(gates, "masks") else gates)
        blocks = {
            name: {"kept_blocks": stack.kept_blocks} if stack.blocks else {}
            for name, stack in structure.own.items()
        }
        kept = graph.structure(masks).with_widths(blocks)
        for field, (ours, theirs) in kept.diff(structure).items():
            raise UserError(
                f"gates keep {ours} of {field}, the structure says {theirs}; "
                "take both from the same selection"
            )
    fold(small, graph, masks)
    narrow(small, graph, masks, structure)
    return small


def cut_sharing(
    root: nn.Module,
    graph: UnitGraph,
    masks: Masks,
    changed: Mapping[str, torch.Tensor],
) -> nn.Module:
    """Return a smaller copy that holds little beside its root.

    What it has whole of a tensor is the root's own tensor: neither may be trained.

    Args:
        root: The encoder or model to cut; it is left as it is.
        graph: Its units.
        masks: Masks of 0 and 1; all blocks stay.
        changed: Tensors that stand for those of the root, by name.
    """
    shared: Dict[int, torch.Tensor] = {}
    for name, tensor in root.named_parameters():
        own = changed.get(name)
        given = tensor.requires_grad
        shared[id(tensor)] = tensor if own is None else nn.Parameter(own, given)
    for name, tensor in root.named_buffers():
        shared[id(tensor)] = changed.get(name, tensor)
    small = without_masks(root, shared)
    narrow(small, graph, masks, graph.structure(masks))
    return small


@torch.no_grad()
def fold(root: nn.Module, graph: UnitGraph, masks: Masks) -> None:
    """Scale, in place, every consumer column by its unit's mask.

    A module's mask scales weight and bias of its last layer. Afterwards the encoder or
    model gives without masks what it gave with them (0 included).
    """
    state = {**dict(root.named_parameters()), **dict(root.named_buffers())}
    for unit in graph:
        mask = masks[unit.name].to(next(iter(state.values())).device)
        if bool((mask == 1).all()):
            continue
        for name in unit.scaled:
            state[name].mul_(mask)
        for part in unit.consumers:
            weight = state[part.tensor]
            shape = [1] * weight.dim()
            shape[part.dim] = -1
            weight.mul_(mask.repeat_interleave(part.group).view(shape))
