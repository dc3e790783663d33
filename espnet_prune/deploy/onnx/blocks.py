# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The blocks of encoders as they are exported: what mixes frames is replaced."""

from typing import Any, List

import torch
from espnet2.asr.layers.multiconv_cgmlp import MultiConvolutionalGatingMLP
from torch import nn

from espnet_prune.compat import (
    BranchformerEncoderLayer,
    ConvolutionalGatingMLP,
    ConvolutionModule,
    FastSelfAttention,
    LegacyRelPositionMultiHeadedAttention,
    MultiHeadedAttention,
    RelPositionMultiHeadedAttention,
)
from espnet_prune.deploy.onnx.attention import (
    FastAttention,
    GatedRelativeAttention,
    LegacyRelativeAttention,
    RelativeAttention,
    SelfAttention,
    linear_of,
)
from espnet_prune.deploy.onnx.frames import (
    CONVS,
    Frames,
    Maker,
    Pooling,
    RealConv,
    rewritten,
)
from espnet_prune.units.gated import GatedAttention


class Convolution(nn.Module):
    """A Conformer's convolution: Linears, of which int8 makes the most, and a norm
    that is in the weights of the depthwise convolution.

    Args:
        module: ESPnet's ConvolutionModule.
        frames: Of the batch.
    """

    def __init__(self, module: nn.Module, frames: Frames) -> None:
        super().__init__()
        first, second = module.pointwise_conv1, module.pointwise_conv2
        self.first = linear_of(first.weight[..., 0], first.bias)
        self.second = linear_of(second.weight[..., 0], second.bias)
        self.conv = RealConv(module.depthwise_conv, frames)
        self.norm, self.activation = module.norm, module.activation

    def forward(self, x: torch.Tensor, *ignored: Any, **more: Any) -> torch.Tensor:
        """Return (N, T, d) of x (N, T, d)."""
        x = nn.functional.glu(self.first(x), dim=-1).transpose(1, 2)
        x = self.activation(self.norm(self.conv(x)))
        return self.second(x.transpose(1, 2))


class Gating(nn.Module):
    """Runs a cgMLP without its mask, which releases take in different places.

    Args:
        module: ESPnet's ConvolutionalGatingMLP, or the one with several convolutions.
        frames: Of the batch.
    """

    def __init__(self, module: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.first, self.second = module.channel_proj1, module.channel_proj2
        self.gate = rewritten(module.csgu, frames, CONVS)

    def forward(self, x: Any, *ignored: Any, **more: Any) -> torch.Tensor:
        """Return (N, T, d) of x (N, T, d), or of x with positions."""
        x = x[0] if isinstance(x, tuple) else x
        return self.second(self.gate(self.first(x)))


def _averaging(block: nn.Module, frames: Frames) -> nn.Module:
    """Return a Branchformer's block; a learned average reads real frames only."""
    view = rewritten(block, frames, MAKERS[1:])
    for name in ("pooling_proj1", "pooling_proj2"):
        if isinstance(getattr(block, name, None), nn.Linear):
            scores = getattr(block, name)
            setattr(view, name, Pooling(scores, frames))
    return view


MAKERS: List[Maker] = [
    (BranchformerEncoderLayer, _averaging),
    (GatedAttention, GatedRelativeAttention),
    (LegacyRelPositionMultiHeadedAttention, LegacyRelativeAttention),
    (RelPositionMultiHeadedAttention, RelativeAttention),
    (MultiHeadedAttention, SelfAttention),
    (FastSelfAttention, FastAttention),
    (ConvolutionModule, Convolution),
    ((ConvolutionalGatingMLP, MultiConvolutionalGatingMLP), Gating),
    *CONVS,
]


def exported_block(block: nn.Module, frames: Frames) -> nn.Module:
    """Return a block of any family for export; it is called with x and no mask."""
    return rewritten(block, frames, MAKERS)
