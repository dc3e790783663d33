# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What an encoder is made of: units, one adapter per encoder family."""

from typing import Any, List, Optional

from torch import nn

from espnet_prune.compat import CONV2D_SUBSAMPLINGS, ConformerEncoderLayer
from espnet_prune.structure import SEQUENTIAL, Dims, Structure
from espnet_prune.units.branches import TWO_BRANCHES, branch_units
from espnet_prune.units.dims import read_dims
from espnet_prune.units.graph import MaskPoint, Masks, Slice, Unit, UnitGraph
from espnet_prune.units.hooks import MaskHooks, masked, without_masks
from espnet_prune.units.modules import (
    Removed,
    attention_units,
    convolution_units,
    feed_forward_units,
    subsampling_units,
)
from espnet_prune.units.narrow import narrow
from espnet_prune.units.norms import unit_norms
from espnet_prune.units.wave import WaveEmbed, wave_units

__all__ = [
    "MaskHooks",
    "MaskPoint",
    "Masks",
    "Removed",
    "Slice",
    "Unit",
    "UnitGraph",
    "masked",
    "narrow",
    "structure_of",
    "unit_graph",
    "unit_norms",
    "without_masks",
]


def unit_graph(encoder: nn.Module) -> UnitGraph:
    """List what can be removed from an ESPnet encoder.

    Args:
        encoder: A Conformer, Transformer, Branchformer or E-Branchformer encoder,
            stock or already pruned, or a `pruned_wav2vec2`.

    Raises:
        UserError: An encoder class that has no adapter.
    """
    dims = read_dims(encoder)
    units = []
    if isinstance(encoder.embed, CONV2D_SUBSAMPLINGS):
        units += subsampling_units("embed", encoder.embed)
    elif isinstance(encoder.embed, WaveEmbed):
        units += wave_units("embed", encoder.embed)
    for i, block in enumerate(encoder.encoders):
        path = f"encoders.{i}"
        if isinstance(block, TWO_BRANCHES):
            units += branch_units(path, block, i)
            continue
        conformer = isinstance(block, ConformerEncoderLayer)

        def norm(name: str) -> Optional[str]:
            # a norm before a module goes with it, one after it stays
            return f"{path}.{name}" if dims.pre_norm else None

        if conformer and block.feed_forward_macaron is not None:
            units += feed_forward_units(
                f"{path}.feed_forward_macaron",
                block.feed_forward_macaron,
                "macaron_linear_units",
                i,
                norm("norm_ff_macaron"),
            )
        units += attention_units(
            f"{path}.self_attn",
            block.self_attn,
            i,
            norm("norm_mha" if conformer else "norm1"),
            removable=not dims.concat_after,
        )
        if conformer:
            units += convolution_units(
                f"{path}.conv_module", block.conv_module, i, norm("norm_conv")
            )
        units += feed_forward_units(
            f"{path}.feed_forward",
            block.feed_forward,
            "linear_units",
            i,
            norm("norm_ff" if conformer else "norm2"),
        )
    return UnitGraph(units, structure_of(encoder, dims))


def structure_of(encoder: nn.Module, dims: Optional[Dims] = None) -> Structure:
    """Return the Structure of an encoder as it stands.

    Raises:
        UserError: An encoder class that has no adapter.
    """
    dims = dims or read_dims(encoder)
    blocks = list(encoder.encoders)

    def counts(name: str, width: Any) -> List[int]:
        modules = [getattr(block, name, None) for block in blocks]
        gone = [m is None or isinstance(m, Removed) for m in modules]
        return [0 if g else width(m) for g, m in zip(gone, modules)]

    def widths(name: str, width: Any) -> Optional[List[int]]:
        found = any(getattr(block, name, None) is not None for block in blocks)
        return counts(name, width) if found else None

    heads = cgmlp = None
    if dims.attention not in ("fast", "none"):
        name = "self_attn" if dims.encoder in SEQUENTIAL else "attn"
        heads = counts(name, lambda m: m.h)
    if dims.cgmlp_kernel:
        cgmlp = counts("cgmlp", lambda m: m.channel_proj2.in_features)
    subsampling = waves = None
    if isinstance(encoder.embed, CONV2D_SUBSAMPLINGS):
        convs = [m for m in encoder.embed.conv if isinstance(m, nn.Conv2d)]
        subsampling = [conv.out_channels for conv in convs]
    elif isinstance(encoder.embed, WaveEmbed):
        layers = encoder.embed.extractor.conv_layers
        waves = [layer.conv.out_channels for layer in layers]
    remaining = None
    if dims.attention == "gated":
        remaining = [list(getattr(b.self_attn, "heads", [])) for b in blocks]
    return Structure(
        dims=dims,
        kept_blocks=list(getattr(encoder, "kept_blocks", range(len(blocks)))),
        attention_heads=heads,
        linear_units=widths("feed_forward", lambda m: m.w_1.weight.size(0)),
        macaron_linear_units=widths(
            "feed_forward_macaron", lambda m: m.w_1.weight.size(0)
        ),
        conv_channels=widths("conv_module", lambda m: m.depthwise_conv.weight.size(0)),
        cgmlp_units=cgmlp,
        subsampling_channels=subsampling,
        wave_channels=waves,
        remaining_heads=remaining,
    )
