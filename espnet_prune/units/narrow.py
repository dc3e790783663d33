# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Take units out of a model: slice the tensors, rewrite the sizes."""

from typing import Dict, Iterable, List, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.compat import (
    BodyConv1d,
    EBranchformerCTCEncoder,
    MultiHeadedAttention,
)
from espnet_prune.structure import Structure
from espnet_prune.units.blocks import kept_after, replace_blocks
from espnet_prune.units.graph import Masks, Slice, UnitGraph
from espnet_prune.units.modules import Removed
from espnet_prune.utils import UserError


def narrow(
    root: nn.Module, graph: UnitGraph, masks: Masks, structure: Structure
) -> None:
    """Remove, in place, every unit whose mask is 0 and every block not kept.

    Args:
        root: The encoder or model that `graph` was made of.
        graph: Its units.
        masks: Mask per unit name, (size,); made consistent here.
        structure: Says which blocks stay.

    Raises:
        UserError: Blocks are dropped beside intermediate CTC in a way that would
            change the function.
    """
    masks = graph.close(masks)
    state = dict(root.named_parameters())
    state.update(root.named_buffers())
    slices: Dict[Tuple[str, int], List[Tuple[Slice, torch.Tensor]]] = {}
    for unit in graph:
        kept = masks[unit.name].nonzero().squeeze(1)
        if unit.kind == "module":
            if not len(kept):
                _replace(root, unit.path, Removed())
                if unit.norm:
                    _replace(root, unit.norm, nn.Identity())
            continue
        if len(kept) in (0, unit.size):
            continue  # removed with its module, or whole
        owner = root.get_submodule(unit.point.module.rpartition(".")[0])
        if hasattr(owner, "keep_units"):
            owner.keep_units(kept)
        for part in unit.producers + unit.consumers:
            slices.setdefault((part.tensor, part.dim), []).append((part, kept))
    for (name, dim), parts in slices.items():
        parts.sort(key=lambda pair: pair[0].offset)
        entries = torch.cat([part.entries(kept) for part, kept in parts])
        state[name] = (
            state[name].detach().index_select(dim, entries.to(state[name].device))
        )
        _set_tensor(root, name, state[name])
    for name, place in graph.places.items():
        stack = root.get_submodule(place.path)
        for block in stack.get_submodule(place.blocks) if place.blocks else ():
            place.family.after_cut(block)
        for module in stack.modules():
            _rewrite_sizes(module)
        # what it had, even where nothing of a kind is left
        dense = graph.dense[name]
        stack.dense_fields = tuple(dense.blocks)
        if place.blocks:
            kept_blocks = list(structure[name].kept_blocks)
            _drop_blocks(stack, place.blocks, dense.kept_blocks, kept_blocks)


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, module)


def _set_tensor(root: nn.Module, name: str, tensor: torch.Tensor) -> None:
    parent, _, child = name.rpartition(".")
    module = root.get_submodule(parent)
    old = getattr(module, child)
    if isinstance(old, nn.Parameter):
        tensor = nn.Parameter(tensor, requires_grad=old.requires_grad)
    setattr(module, child, tensor)


def _rewrite_sizes(module: nn.Module) -> None:
    """Make a module's size attributes agree with its tensors."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
        depthwise = module.groups > 1 and module.groups == module.out_channels
        module.out_channels = module.weight.size(0)
        if depthwise:
            module.groups = module.in_channels = module.out_channels
        else:
            module.in_channels = module.weight.size(1) * module.groups
    elif isinstance(module, nn.BatchNorm1d):
        module.num_features = len(module.weight)
    elif isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels:
        module.num_groups = module.num_channels = len(module.weight)
    elif isinstance(module, nn.LayerNorm) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, MultiHeadedAttention):
        module.h = module.linear_q.weight.size(0) // module.d_k


def moved_taps(
    taps: Iterable[int], positions: Sequence[int], all_stay: bool
) -> List[int]:
    """Return where intermediate CTC sits when only some blocks stay.

    A tap sits after a block; without that block it sits after the one before.

    Args:
        taps: `interctc_layer_idx`, each the number of blocks before it.
        positions: Indices of the blocks that stay.
        all_stay: Whether none may be lost, see `taps_stay`.

    Raises:
        UserError: Two of those would meet, or one has no block before or after.
    """
    taps = list(taps)
    moved = [sum(p < tap for p in positions) for tap in taps]
    moved = sorted({tap for tap in moved if 0 < tap < len(positions)})
    if all_stay and len(moved) < len(taps):
        raise UserError(
            "structure: kept_blocks drops a block that self-conditioned intermediate "
            f"CTC (interctc_layer_idx {taps}) needs; keep a block before and after each"
        )
    return moved


def taps_stay(stack: nn.Module) -> bool:
    """Say whether no intermediate CTC of a stack may be lost.

    What it says changes the function (self-conditioning), or the model has a list of
    what each is to spell (OWSM-CTC's `ctc_asr_only`).
    """
    conditioned = getattr(stack, "interctc_use_conditioning", False)
    return conditioned or isinstance(stack, EBranchformerCTCEncoder)


def can_drop(
    stack: nn.Module, removed: Sequence[int], blocks: str = "encoders"
) -> bool:
    """Say whether some blocks, 1-based, can be cut out of an encoder or a decoder.

    Where they can, so can any part of them.
    """
    positions = kept_after(removed, len(stack.get_submodule(blocks)))
    if removed and _are_fixed(stack, blocks):
        return False
    taps = getattr(stack, "interctc_layer_idx", [])
    try:
        moved_taps(taps, positions, taps_stay(stack))
    except UserError:
        return False
    return bool(positions)


def most_removable(stack: nn.Module, blocks: str = "encoders") -> int:
    """Return how many blocks can be cut out: one stays, or one beside every tap."""
    number = len(stack.get_submodule(blocks))
    if _are_fixed(stack, blocks):
        return 0
    if taps_stay(stack):
        return number - 1 - len(set(getattr(stack, "interctc_layer_idx", [])))
    return number - 1


def _are_fixed(stack: nn.Module, blocks: str) -> bool:
    """Say whether blocks rely on each other: some change the frames or their width."""
    return any(isinstance(block, BodyConv1d) for block in stack.get_submodule(blocks))


def moved_checkpoints(layers: Iterable[int], positions: Sequence[int]) -> List[int]:
    """Return `gradient_checkpoint_layers` when only some blocks stay.

    Args:
        layers: 0 for the subsampling, l for block l, counted from 1.
        positions: Indices of the blocks that stay.
    """
    layers = set(layers)
    moved = [i for i, p in enumerate(positions, start=1) if p + 1 in layers]
    return [0, *moved] if 0 in layers else moved


def _drop_blocks(
    stack: nn.Module, blocks: str, present: List[int], kept: List[int]
) -> None:
    """Keep blocks by their dense index, and move intermediate CTC with them."""
    positions = [present.index(block) for block in kept]
    if hasattr(stack, "interctc_layer_idx"):
        stack.interctc_layer_idx = moved_taps(
            stack.interctc_layer_idx, positions, taps_stay(stack)
        )
    if hasattr(stack, "gradient_checkpoint_layers"):
        stack.gradient_checkpoint_layers = moved_checkpoints(
            stack.gradient_checkpoint_layers, positions
        )
    stack.kept_blocks = kept
    if len(kept) < len(present):
        if _are_fixed(stack, blocks):
            raise UserError(
                "structure: kept_blocks drops a block beside conv1d blocks, which "
                "change the frames or their width; keep all blocks"
            )
        left = [stack.get_submodule(blocks)[p] for p in positions]
        for block in left:
            if hasattr(block, "total_layer_num"):  # what it hands on is kept by number
                block.total_layer_num = len(left)
        replace_blocks(stack, blocks, left)
