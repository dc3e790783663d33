# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Units of every kind of module that ESPnet encoders are made of."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from espnet2.asr.layers.multiconv_cgmlp import MultiConvolutionalGatingMLP
from torch import nn

from espnet_prune.compat import (
    Conv1dLinear,
    ConvolutionalGatingMLP,
    ConvolutionModule,
    LegacyRelPositionMultiHeadedAttention,
    MultiHeadedAttention,
    MultiLayeredConv1d,
    PositionwiseFeedForward,
    RelPositionMultiHeadedAttention,
)
from espnet_prune.price import FRAME
from espnet_prune.structure import Counts
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


class _Inner(NamedTuple):
    """What can be removed inside a module; paths are those in the module."""

    name: str
    kind: str
    size: int
    out: str  # the last layer, which reads them
    producers: Sequence[Slice]
    dim: int = -1  # of the input of `out`
    group: int = 1
    also: Tuple[MaskPoint, ...] = ()


def module_units(
    path: str,
    module: Optional[nn.Module],
    field: str,
    index: int,
    norm: Optional[str],
    removable: bool = True,
    products: Optional[Dict[str, int]] = None,
) -> List[Unit]:
    """Return the units of a module of a block: itself, and what is inside it.

    Args:
        path: Its path in the stack.
        module: An attention, a feed-forward, a convolution or a cgMLP; anything else
            has no units.
        field: List of the Structure that counts them.
        index: Position of the block.
        norm: Path of the norm that goes with it.
        removable: Whether the whole module can go.
        products: MACs of one head's products, by use; by default those that attention
            takes in an encoder.
    """
    make = next((make for kinds, make in _MAKERS if isinstance(module, kinds)), None)
    if make is None:
        return []
    own = make(module)
    name, out = f"{path}.{own.name}", f"{path}.{own.out}"
    costs = ()
    if own.kind == "head":
        products = _products(module) if products is None else products
        costs = (extra((path, name) if removable else (name,), **products),)
    units = Unit(
        name=name,
        kind=own.kind,
        size=own.size,
        point=MaskPoint(own.out, "pre", own.dim, own.group),
        field=field,
        index=index,
        block=index,
        producers=tuple(own.producers),
        consumers=(Slice(f"{own.out}.weight", 1, own.group),),
        module=path if removable else None,
        also=own.also,
        extra=costs,
    ).inside("encoder", f"{path}.")
    if not removable:
        return [units]
    # a cgMLP itself returns a tuple where there are positions
    masked = out if own.kind == "cgmlp_channel" else path
    whole = Unit(
        name=path,
        kind="module",
        size=1,
        point=MaskPoint(masked, "post"),
        field=field,
        index=index,
        block=index,
        scaled=(f"{out}.weight", f"{out}.bias"),
        norm=norm,
        path=path,
    )
    return [whole, units]


def _heads(attention: nn.Module) -> _Inner:
    k, producers = attention.d_k, []
    for linear in ("linear_q", "linear_k", "linear_v"):
        producers.append(Slice(f"{linear}.weight", 0, k))
        producers.append(Slice(f"{linear}.bias", 0, k))
    if hasattr(attention, "linear_pos"):
        producers.append(Slice("linear_pos.weight", 0, k))
        producers += [Slice("pos_bias_u", 0), Slice("pos_bias_v", 0)]
    if isinstance(attention, GatedAttention):
        producers.append(Slice("gate_scale", 0))
    return _Inner("heads", "head", attention.h, "linear_out", producers, group=k)


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


def _hidden_units(feed_forward: nn.Module) -> _Inner:
    # a Conv1d consumer takes (N, C, T), a Linear one (N, T, C)
    dim = 1 if isinstance(feed_forward.w_2, nn.Conv1d) else -1
    producers = [Slice("w_1.weight", 0), Slice("w_1.bias", 0)]
    size = feed_forward.w_1.weight.size(0)
    return _Inner("units", "ffn_unit", size, "w_2", producers, dim)


def _channels(convolution: nn.Module) -> _Inner:
    """Return the inner channels of a convolution module.

    A channel owns two rows of the first pointwise convolution, because the GLU pairs
    row j with row j + channels.
    """
    channels, producers = convolution.depthwise_conv.weight.size(0), []
    for tensor in ("weight", "bias"):
        if getattr(convolution.pointwise_conv1, tensor) is None:
            continue
        for offset in (0, channels):
            producers.append(Slice(f"pointwise_conv1.{tensor}", 0, offset=offset))
        producers.append(Slice(f"depthwise_conv.{tensor}", 0))
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        producers.append(Slice(f"norm.{tensor}", 0))
    out = "pointwise_conv2"
    return _Inner("channels", "conv_channel", channels, out, producers, dim=1)


def _gated_channels(cgmlp: nn.Module) -> _Inner:
    """Return the channels of a convolutional gating MLP (cgMLP) after the gating.

    `channel_proj1` makes 2 C channels out of d. The second half, the gate, passes a
    layer norm over its C channels, a depthwise convolution or several that are added,
    maybe a Linear, and multiplies the first half; `channel_proj2` takes the C products
    back to d. (ESPnet: espnet2/asr/layers/cgmlp.py.) So channel j owns rows j and j + C
    of the first projection.

    The norm and the Linear mix channels before the products are masked. While masks
    are attached, the norm therefore takes its statistics over the open channels only,
    and the Linear reads zeros for the removed ones; then masked equals cut.
    """
    channels, producers = cgmlp.channel_proj2.in_features, []
    for tensor in ("weight", "bias"):
        for offset in (0, channels):
            producers.append(Slice(f"channel_proj1.0.{tensor}", 0, offset=offset))
        producers.append(Slice(f"csgu.norm.{tensor}", 0))
        producers += [
            Slice(f"csgu.{conv}.{tensor}", 0)
            for conv, layer in cgmlp.csgu.named_modules()
            if isinstance(layer, nn.Conv1d)
        ]
    also = [MaskPoint("csgu.norm", "norm")]
    if cgmlp.csgu.linear is not None:
        producers.append(Slice("csgu.linear.weight", 0))
        producers.append(Slice("csgu.linear.bias", 0))
        producers.append(Slice("csgu.linear.weight", 1))
        also.append(MaskPoint("csgu.linear", "open"))
    out, also = "channel_proj2", tuple(also)
    return _Inner("channels", "cgmlp_channel", channels, out, producers, also=also)


_MAKERS: Tuple[Tuple[Any, Callable[[nn.Module], _Inner]], ...] = (
    (MultiHeadedAttention, _heads),
    (FEED_FORWARDS, _hidden_units),
    (ConvolutionModule, _channels),
    ((ConvolutionalGatingMLP, MultiConvolutionalGatingMLP), _gated_channels),
)


def counts_of(units: Sequence[Unit], fields: Sequence[str], blocks: int) -> Counts:
    """Return how many units every block has, by the list that counts them.

    Args:
        units: Units of a stack.
        fields: Lists over blocks; where a block has no such units it has 0.
        blocks: Number of blocks.
    """
    counts = {field: [0] * blocks for field in fields}
    for unit in units:
        if unit.kind != "module" and unit.field in counts:
            counts[unit.field][unit.index] = unit.size
    return counts


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
