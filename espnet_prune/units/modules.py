# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Units of every kind of module that ESPnet encoders are made of."""

from typing import Any, Dict, List, Optional

import torch
from torch import nn

from espnet_prune.compat import (
    Conv1dLinear,
    ConvolutionModule,
    LegacyRelPositionMultiHeadedAttention,
    MultiHeadedAttention,
    MultiLayeredConv1d,
    PositionwiseFeedForward,
    RelPositionMultiHeadedAttention,
)
from espnet_prune.price import FRAME
from espnet_prune.units.gated import GatedAttention
from espnet_prune.units.graph import MaskPoint, Slice, Unit
from espnet_prune.units.pricing import extra

# uses beside "once per frame": pairs of frames, positions, and pairs of both
PAIRS, STEPS, PAIRS_OF_STEPS = "pairs", "steps", "pairs_of_steps"

FEED_FORWARDS = (PositionwiseFeedForward, MultiLayeredConv1d, Conv1dLinear)


class Removed(nn.Module):
    """Stands where a whole module was removed: its residual branch adds nothing."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return a zero that broadcasts over x (N, T, C)."""
        return x.new_zeros(())


def module_unit(
    name: str, field: str, index: int, out: str, norm: Optional[str]
) -> Unit:
    """Return the unit of a whole module whose last layer is `out`."""
    return Unit(
        name=name,
        kind="module",
        size=1,
        point=MaskPoint(name, "post"),
        field=field,
        index=index,
        block=index,
        scaled=(f"{name}.{out}.weight", f"{name}.{out}.bias"),
        norm=norm,
        path=name,
    )


def attention_units(
    name: str,
    attention: nn.Module,
    index: int,
    norm: Optional[str],
    removable: bool = True,
    field: str = "attention_heads",
) -> List[Unit]:
    """Return the units of an attention: itself, and its heads."""
    if not isinstance(attention, MultiHeadedAttention):
        return []
    k = attention.d_k
    producers = []
    for linear in ("linear_q", "linear_k", "linear_v"):
        producers.append(Slice(f"{name}.{linear}.weight", 0, k))
        producers.append(Slice(f"{name}.{linear}.bias", 0, k))
    if hasattr(attention, "linear_pos"):
        producers.append(Slice(f"{name}.linear_pos.weight", 0, k))
        producers.append(Slice(f"{name}.pos_bias_u", 0))
        producers.append(Slice(f"{name}.pos_bias_v", 0))
    if isinstance(attention, GatedAttention):
        producers.append(Slice(f"{name}.gate_scale", 0))
    present = (name, f"{name}.heads") if removable else (f"{name}.heads",)
    products = extra(present, **_products(attention))
    heads = Unit(
        name=f"{name}.heads",
        kind="head",
        size=attention.h,
        point=MaskPoint(f"{name}.linear_out", "pre", -1, k),
        field=field,
        index=index,
        block=index,
        producers=tuple(producers),
        consumers=(Slice(f"{name}.linear_out.weight", 1, k),),
        module=name if removable else None,
        extra=(products,),
    )
    if not removable:
        return [heads]
    return [module_unit(name, field, index, "linear_out", norm), heads]


def _products(attention: nn.Module) -> Dict[str, int]:
    """Return the MACs of one head's products, by use: scores and weighted values."""
    k = attention.d_k
    if isinstance(attention, LegacyRelPositionMultiHeadedAttention):
        return {PAIRS: 3 * k}
    if isinstance(attention, RelPositionMultiHeadedAttention):
        return {PAIRS: 2 * k, PAIRS_OF_STEPS: k}
    if isinstance(attention, GatedAttention):
        return {PAIRS: 2 * k, FRAME: 8 * k}
    return {PAIRS: 2 * k}


def attention_uses(name: str, attention: nn.Module) -> Dict[str, Optional[str]]:
    """Return how often weights of an attention are used, where not once per frame."""
    if isinstance(attention, LegacyRelPositionMultiHeadedAttention):
        return {}
    if isinstance(attention, RelPositionMultiHeadedAttention):
        return {f"{name}.linear_pos": STEPS}
    if isinstance(attention, GatedAttention):
        return {f"{name}.gate": None}  # one layer for all heads, see `_products`
    return {}


def feed_forward_units(
    name: str, feed_forward: nn.Module, field: str, index: int, norm: Optional[str]
) -> List[Unit]:
    """Return the units of a feed-forward: itself, and its hidden units."""
    if not isinstance(feed_forward, FEED_FORWARDS):
        return []
    # a Conv1d consumer takes (N, C, T), a Linear one (N, T, C)
    dim = 1 if isinstance(feed_forward.w_2, nn.Conv1d) else -1
    units = Unit(
        name=f"{name}.units",
        kind="ffn_unit",
        size=feed_forward.w_1.weight.size(0),
        point=MaskPoint(f"{name}.w_2", "pre", dim),
        field=field,
        index=index,
        block=index,
        producers=(Slice(f"{name}.w_1.weight", 0), Slice(f"{name}.w_1.bias", 0)),
        consumers=(Slice(f"{name}.w_2.weight", 1),),
        module=name,
    )
    return [module_unit(name, field, index, "w_2", norm), units]


def convolution_units(
    name: str, convolution: Optional[nn.Module], index: int, norm: Optional[str]
) -> List[Unit]:
    """Return the units of a convolution module: itself, and its inner channels.

    A channel owns two rows of the first pointwise convolution, because the GLU pairs
    row j with row j + channels.
    """
    if not isinstance(convolution, ConvolutionModule):
        return []
    channels = convolution.depthwise_conv.weight.size(0)
    producers = []
    for tensor in ("weight", "bias"):
        if getattr(convolution.pointwise_conv1, tensor) is None:
            continue
        for offset in (0, channels):
            producers.append(
                Slice(f"{name}.pointwise_conv1.{tensor}", 0, offset=offset)
            )
        producers.append(Slice(f"{name}.depthwise_conv.{tensor}", 0))
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        producers.append(Slice(f"{name}.norm.{tensor}", 0))
    units = Unit(
        name=f"{name}.channels",
        kind="conv_channel",
        size=channels,
        point=MaskPoint(f"{name}.pointwise_conv2", "pre", 1),
        field="conv_channels",
        index=index,
        block=index,
        producers=tuple(producers),
        consumers=(Slice(f"{name}.pointwise_conv2.weight", 1),),
        module=name,
    )
    whole = module_unit(name, "conv_channels", index, "pointwise_conv2", norm)
    return [whole, units]


def subsampling_out(embed: nn.Module) -> str:
    """Return the name, inside a Conv2d subsampling, of its output Linear."""
    return "out" if isinstance(embed.out, nn.Linear) else "out.0"


def subsampling_units(name: str, embed: nn.Module) -> List[Unit]:
    """Return the units of a Conv2d subsampling: the channels of every convolution.

    The output Linear reads channel-major features: channel j owns the columns
    j * F ... (j + 1) * F - 1, with F frequency bins left.
    """
    convs = [i for i, m in enumerate(embed.conv) if isinstance(m, nn.Conv2d)]
    out = f"{name}.{subsampling_out(embed)}"
    columns = embed.get_submodule(subsampling_out(embed)).in_features
    units = []
    for index, position in enumerate(convs):
        path, size = f"{name}.conv.{position}", embed.conv[position].out_channels
        if index + 1 < len(convs):
            consumer = Slice(f"{name}.conv.{convs[index + 1]}.weight", 1)
        else:
            consumer = Slice(f"{out}.weight", 1, columns // size)
        units.append(
            Unit(
                name=f"{path}.channels",
                kind="subsampling_channel",
                size=size,
                point=MaskPoint(f"{name}.conv.{position + 1}", "post", 1),
                field="subsampling_channels",
                index=index,
                producers=(Slice(f"{path}.weight", 0), Slice(f"{path}.bias", 0)),
                consumers=(consumer,),
            )
        )
    return units
