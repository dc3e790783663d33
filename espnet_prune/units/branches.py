# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Blocks with two branches: Branchformer and E-Branchformer.

Attention and cgMLP run side by side and are merged. A closed branch gives zeros, and
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

from typing import Any, List

import torch
from torch import nn

from espnet_prune.compat import BranchformerEncoderLayer, EBranchformerEncoderLayer
from espnet_prune.units.cgmlp import cgmlp_units
from espnet_prune.units.graph import Unit
from espnet_prune.units.modules import (
    Removed,
    attention_units,
    feed_forward_units,
)

TWO_BRANCHES = (BranchformerEncoderLayer, EBranchformerEncoderLayer)
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


def branch_units(path: str, block: nn.Module, index: int) -> List[Unit]:
    """Return the units of a block with two branches, in the order in which they run.

    Args:
        path: Path of the block in the encoder.
        block: A Branchformer or E-Branchformer block.
        index: Its position.
    """

    def feed_forward(name: str, norm: str, field: str) -> List[Unit]:
        module = getattr(block, name, None)
        return feed_forward_units(
            f"{path}.{name}", module, field, index, f"{path}.{norm}"
        )

    return [
        *feed_forward(
            "feed_forward_macaron", "norm_ff_macaron", "macaron_linear_units"
        ),
        *attention_units(f"{path}.attn", block.attn, index, f"{path}.norm_mha"),
        *cgmlp_units(f"{path}.cgmlp", block.cgmlp, index, f"{path}.norm_mlp"),
        *feed_forward("feed_forward", "norm_ff", "linear_units"),
    ]


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
        if isinstance(block, EBranchformerEncoderLayer):
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
    linear.bias += linear.weight[:, ~stays] @ conv.bias[~stays]
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
        linear.weight *= share
        block.cgmlp_weight = float(after[1])
    for (name, norm), stays in zip(_BRANCHES, after):
        if not stays:
            setattr(block, name, None)
            setattr(block, norm, None)
    block.use_two_branches = False
