# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The merge of two branches, in Branchformer and E-Branchformer.

Attention and cgMLP run side by side and are merged. A removed branch gives zeros, and
the merge may turn zeros into something: that constant stays when the branch is cut.

- E-Branchformer: the depthwise convolution over the 2 d channels leaves its bias; the
  merge projection's share of it goes into the projection's bias.
- concat: the projection loses the columns of the branch.
- fixed_ave: the weight of the other branch goes into the projection; ESPnet writes a
  block without a branch as `cgmlp_weight` 0.0 or 1.0, and so is this one.
- learned_ave: the branch still has its say in the weights of the average, as the bias
  of `weight_proj`; a zero of width 1 stands for it and only that bias stays.

Without both branches the block adds the bias of the projection. The stock forward of
the blocks runs all of this. (ESPnet: espnet2/asr/encoder/branchformer_encoder.py and
e_branchformer_encoder.py.)
"""

import dataclasses
from typing import Any, List, Mapping, Sequence, Set

import torch
from torch import nn

from espnet_prune.compat import (
    E_BRANCHFORMER_LAYERS,
    BranchformerEncoderLayer,
    FastSelfAttention,
)
from espnet_prune.price import ONCE
from espnet_prune.units.graph import Slice
from espnet_prune.units.modules import Removed
from espnet_prune.units.pricing import Parts, extra

TWO_BRANCHES = (BranchformerEncoderLayer, *E_BRANCHFORMER_LAYERS)
_BRANCHES = (("attn", "norm_mha"), ("cgmlp", "norm_mlp"))


class NoBranch(Removed):
    """Stands where a branch was removed: zeros of a width that suits the merge.

    Args:
        width: 0 where branches are concatenated, 1 where they are added.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return zeros (N, T, width) for x (N, T, C), or for x with positions."""
        x = x[0] if isinstance(x, tuple) else x
        return x.new_zeros(*x.shape[:-1], self.width)


class Constant(nn.Module):
    """What is left of a Linear whose input is always 0: its bias.

    Args:
        bias: (C,).
    """

    def __init__(self, bias: nn.Parameter) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the bias (..., C) for x (..., any)."""
        return self.bias.expand(*x.shape[:-1], -1)


def add_merge(parts: Parts, path: str, block: nn.Module) -> None:
    """Add, to the parts of a stack, what the branches of a block cost in its merge.

    Args:
        parts: Parts with the units of the block.
        path: Path of the block in the encoder.
        block: The block.
    """
    names = {unit.name for unit in parts.units}
    present = [f"{path}.{name}" for name, _ in _BRANCHES if f"{path}.{name}" in names]
    linear = block.merge_proj
    averages = getattr(block, "merge_method", "") == "learned_ave"
    if averages and block.use_two_branches:
        _add_weights(parts, path, block, names)
    if isinstance(block, E_BRANCHFORMER_LAYERS):
        # each branch has its channels of the convolution, and its columns
        fusion, d = f"{path}.depthwise_conv_fusion", block.size
        slices = [Slice(f"{fusion}.{name}", 0, d) for name in ("weight", "bias")]
        slices.append(Slice(f"{path}.merge_proj.weight", 1, d))
        _give(parts, {name: slices for name in present})
    elif not isinstance(linear, nn.Linear):
        return
    elif block.use_two_branches and block.merge_method == "concat":
        columns = [Slice(f"{path}.merge_proj.weight", 1, block.size)]
        _give(parts, {name: columns for name in present})
    else:
        if any(isinstance(getattr(block, n), FastSelfAttention) for n, _ in _BRANCHES):
            return  # this branch always stays, and so does the projection
        # one projection for both: it is there if either is
        parts.uses[f"{path}.merge_proj"] = None
        parts.tensors += (f"{path}.merge_proj.weight",)
        number = linear.weight.numel()
        sets = [(name,) for name in present] + [tuple(present)] * (len(present) == 2)
        for units in sets:
            sign = -1 if len(units) == 2 else 1
            term = extra(units, sign * number, frame=sign * number)
            parts.extra.append(dataclasses.replace(term, block=_position(path)))


def _add_weights(parts: Parts, path: str, block: nn.Module, names: Set[str]) -> None:
    """Add what the learned average reads off each branch.

    Two scores per frame go with the branch; the pooling by the first has width d, or 1
    where a zero stands for the branch.
    """
    for i, (name, _) in enumerate(_BRANCHES, start=1):
        branch, d = f"{path}.{name}", block.size
        layers = [f"{path}.{layer}_proj{i}" for layer in ("pooling", "weight")]
        parts.uses[layers[1]] = ONCE
        removable = branch in names
        there = removable or isinstance(getattr(block, name), FastSelfAttention)
        terms = [extra((), frame=d if there and not removable else 1)]
        if removable:
            slices = [Slice(f"{layers[0]}.weight", 0), Slice(f"{layers[0]}.bias", 0)]
            _give(parts, {branch: [*slices, Slice(f"{layers[1]}.weight", 0)]})
            terms.append(extra((branch,), frame=d - 1))
        for term in terms:
            parts.extra.append(dataclasses.replace(term, block=_position(path)))


def _give(parts: Parts, slices: Mapping[str, Sequence[Slice]]) -> None:
    """Let whole modules own slices of the merge; `close_merge` is what cuts them."""
    parts.units[:] = [
        (
            dataclasses.replace(unit, producers=(*unit.producers, *slices[unit.name]))
            if unit.name in slices
            else unit
        )
        for unit in parts.units
    ]


def _position(path: str) -> int:
    return int(path.rpartition(".")[2])


def close_merge(block: nn.Module) -> None:
    """Fit, in place, the merge of a block to the branches that are left.

    Args:
        block: Any encoder block; only one whose `attn` or `cgmlp` was replaced by
            `Removed` since the last call is changed.
    """
    if not isinstance(block, TWO_BRANCHES):
        return
    branches = [getattr(block, name) for name, _ in _BRANCHES]
    before = [m is not None and not isinstance(m, NoBranch) for m in branches]
    after = [m is not None and not isinstance(m, Removed) for m in branches]
    if before == after:
        return
    with torch.no_grad():
        if isinstance(block, E_BRANCHFORMER_LAYERS):
            _close_convolution(block, before, after)
        elif block.use_two_branches and block.merge_method == "learned_ave":
            _close_learned_average(block, after)
        else:
            _close_plain(block, after)


def _parameter(old: nn.Parameter, value: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(value.clone(), requires_grad=old.requires_grad)


def _keep_columns(linear: nn.Linear, columns: torch.Tensor) -> None:
    linear.weight = _parameter(linear.weight, linear.weight[:, columns])
    linear.in_features = len(columns)


def _stand_in(block: nn.Module, after: List[bool], width: int) -> None:
    for (name, _), stays in zip(_BRANCHES, after):
        if not stays:
            setattr(block, name, NoBranch(width))


def _close_convolution(block: nn.Module, before: List[bool], after: List[bool]) -> None:
    """E-Branchformer: merge_proj(x + conv(x)) of the concatenated branches."""
    conv, linear = block.depthwise_conv_fusion, block.merge_proj
    _stand_in(block, after, width=0)
    stays = torch.tensor([a for a, b in zip(after, before) if b])
    stays = stays.repeat_interleave(block.size).to(conv.bias.device)
    # nothing in place: a copy that is cut may share its tensors
    moved = linear.bias + linear.weight[:, ~stays] @ conv.bias[~stays]
    linear.bias = _parameter(linear.bias, moved)
    if any(after):
        for name in ("weight", "bias"):
            old = getattr(conv, name)
            setattr(conv, name, _parameter(old, old[stays]))
        _keep_columns(linear, stays.nonzero().squeeze(1))
    else:
        block.depthwise_conv_fusion = nn.Identity()
        block.merge_proj = Constant(linear.bias)


def _close_learned_average(block: nn.Module, after: List[bool]) -> None:
    _stand_in(block, after, width=1)
    for i, stays in enumerate(after, start=1):
        weight = getattr(block, f"weight_proj{i}")
        if not stays and isinstance(weight, nn.Linear):
            setattr(block, f"pooling_proj{i}", nn.Identity())
            setattr(block, f"weight_proj{i}", Constant(weight.bias))
    if not any(after):
        block.merge_proj = Constant(block.merge_proj.bias)


def _close_plain(block: nn.Module, after: List[bool]) -> None:
    """Concatenation, fixed average, or a block that has one branch only."""
    linear = block.merge_proj
    if not any(after):
        # without a merge there is no bias either
        linear = Constant(linear.bias) if isinstance(linear, nn.Linear) else Removed()
        block.merge_proj = linear
    elif block.merge_method == "concat":
        half = torch.arange(block.size, device=linear.weight.device)
        _keep_columns(linear, half + block.size * after.index(True))
    else:
        share = block.cgmlp_weight if after[1] else 1.0 - block.cgmlp_weight
        linear.weight = _parameter(linear.weight, share * linear.weight)
        block.cgmlp_weight = float(after[1])
    for (name, norm), stays in zip(_BRANCHES, after):
        if not stays:
            setattr(block, name, None)
            setattr(block, norm, None)
    block.use_two_branches = False
