# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Read from an encoder what its costs depend on and pruning does not change."""

import dataclasses
from typing import Any, Dict, Tuple

from torch import nn

from espnet_prune.compat import (
    CONV2D_SUBSAMPLINGS,
    BranchformerEncoderLayer,
    ConformerEncoderLayer,
    ConvolutionalPositionalEmbedding,
    EBranchformerEncoderLayer,
    FastSelfAttention,
    LegacyRelPositionMultiHeadedAttention,
    RelPositionMultiHeadedAttention,
    TransformerEncoderLayer,
)
from espnet_prune.structure import SEQUENTIAL, Dims
from espnet_prune.units.covered import REMEDY, check_covered
from espnet_prune.units.gated import GatedAttention
from espnet_prune.units.modules import subsampling_out
from espnet_prune.units.wave import WaveEmbed, wave_norm
from espnet_prune.utils import UserError

_FAMILIES = (
    ("conformer", ConformerEncoderLayer),
    ("transformer", TransformerEncoderLayer),
    ("branchformer", BranchformerEncoderLayer),
    ("e_branchformer", EBranchformerEncoderLayer),
)
# frontends of ESPnet that are whole self-supervised models
SSL_FRONTENDS = ("S3prlFrontend", "HuggingFaceFrontend", "ESPnetSSLFrontend")
# raw speech at 16 kHz: what counts as one frame in a cost
FRAME_SAMPLES = 160


def read_dims(encoder: nn.Module) -> Dims:
    """Return the fixed dimensions of an encoder.

    Raises:
        UserError: An encoder class that has no adapter, or with parts that none knows;
            or a self-supervised frontend.
    """
    refuse_frontend(encoder)
    blocks = getattr(encoder, "encoders", None)
    found = [name for name, kind in _FAMILIES if blocks and isinstance(blocks[0], kind)]
    if not found:
        raise UserError(f"{type(encoder).__name__} has no pruning adapter; {REMEDY}")
    check_covered(encoder)
    if isinstance(encoder.embed, WaveEmbed):
        found = ["wav2vec2"]  # its blocks are those of another family
    # narrowing may remove every attention; it leaves the dimensions it started from
    dims = getattr(encoder, "dense_dims", None)
    if dims is None:
        read = _read_blocks if found[0] in SEQUENTIAL else _read_branches
        dims = Dims(encoder=found[0], **_read_embed(encoder), **read(encoder))
    params, per_frame, fixed = _read_others(encoder)
    return dataclasses.replace(dims, other_params=params, other_macs=(per_frame, fixed))


def refuse_frontend(model: Any) -> None:
    """Say how to prune a self-supervised model that ESPnet runs as frontend.

    Args:
        model: An encoder, a frontend, or a model with a frontend.

    Raises:
        UserError: The frontend is of that kind.
    """
    kind = type(getattr(model, "frontend", model)).__name__
    if kind in SSL_FRONTENDS:
        raise UserError(
            f"{kind} cannot be pruned where it is; make its model the encoder: set "
            "frontend: null, input_size: 1, encoder: pruned_wav2vec2 and in "
            "encoder_conf model and weights, and train once more "
            "(docs/self_supervised.md)"
        )


def _read_embed(encoder: nn.Module) -> Dict[str, Any]:
    embed, convs, conv1ds = encoder.embed, (), ()
    size = encoder.output_size()
    if isinstance(embed, WaveEmbed):
        layers = embed.extractor.conv_layers
        return dict(
            input_size=1,
            output_size=size,
            waves=tuple((layer.kernel_size, layer.stride) for layer in layers),
            wave_norm=wave_norm(embed),
            wave_bias=layers[0].conv.bias is not None,
            frame_samples=FRAME_SAMPLES,
        )
    if isinstance(embed, CONV2D_SUBSAMPLINGS):
        found = [m for m in embed.conv if isinstance(m, nn.Conv2d)]
        convs = tuple((m.kernel_size[0], m.stride[0]) for m in found)
        input_size = _input_size(encoder, convs)
    elif isinstance(getattr(embed, "conv", None), nn.Sequential):
        found = [m for m in embed.conv if isinstance(m, nn.Conv1d)]
        conv1ds = tuple(
            (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
            for m in found
        )
        input_size = found[0].in_channels
    else:
        first = next(
            (m for m in _modules(embed) if isinstance(m, (nn.Linear, nn.Embedding))),
            None,
        )
        input_size = getattr(first, "in_features", 1 if first else size)
    return dict(input_size=input_size, output_size=size, convs=convs, conv1ds=conv1ds)


def _read_attention(attention: Any) -> Dict[str, Any]:
    if attention is None:
        return dict(head_dim=0, attention="none")
    if isinstance(attention, FastSelfAttention):
        return dict(head_dim=attention.attention_head_size, attention="fast")
    kind = "gated" if isinstance(attention, GatedAttention) else "abs"
    if isinstance(attention, LegacyRelPositionMultiHeadedAttention):
        kind = "legacy_rel"
    elif isinstance(attention, RelPositionMultiHeadedAttention):
        kind = "rel"
    return dict(
        head_dim=attention.d_k,
        attention=kind,
        qk_norm=not isinstance(attention.q_norm, nn.Identity),
    )


def _read_blocks(encoder: nn.Module) -> Dict[str, Any]:
    block = encoder.encoders[0]
    convolution = getattr(block, "conv_module", None)
    return dict(
        **_read_attention(block.self_attn),
        ffn_kernels=tuple(
            layer.kernel_size[0] if isinstance(layer, nn.Conv1d) else 1
            for layer in (block.feed_forward.w_1, block.feed_forward.w_2)
        ),
        cnn_kernel=convolution.depthwise_conv.kernel_size[0] if convolution else 0,
        pre_norm=block.normalize_before,
        final_norm=hasattr(block, "norm_final"),
        concat_after=block.concat_after,
    )


def _read_branches(encoder: nn.Module) -> Dict[str, Any]:
    """Read blocks with two branches; one may be missing, even in some blocks only.

    Raises:
        UserError: Fastformer's attention in some blocks only.
    """
    blocks = list(encoder.encoders)
    attentions = [block.attn for block in blocks]
    attention = next((m for m in attentions if m is not None), None)
    if isinstance(attention, FastSelfAttention) and None in attentions:
        raise UserError(
            "fast_selfattn in some blocks only cannot be priced; use another "
            "attention_layer_type, or cgmlp_weight below 1.0 everywhere"
        )
    cgmlp = next((b.cgmlp for b in blocks if b.cgmlp is not None), None)
    found = _read_attention(attention)
    if cgmlp is not None:
        found["cgmlp_kernel"] = cgmlp.csgu.conv.kernel_size[0]
        found["cgmlp_linear"] = cgmlp.csgu.linear is not None
    block = blocks[0]
    if isinstance(block, EBranchformerEncoderLayer):
        found["merge"] = "conv"
        found["merge_kernel"] = block.depthwise_conv_fusion.kernel_size[0]
    elif not isinstance(block.merge_proj, nn.Identity):
        found["merge"] = block.merge_method
    return dict(**found, final_norm=True)


def _input_size(encoder: nn.Module, convs: Any) -> int:
    """Return the feature dimension that a Conv2d subsampling was made for.

    Stock encoders do not store it and several sizes lead to the same output Linear;
    the usual ones are tried first.
    """
    known = getattr(encoder, "input_size", None)
    if isinstance(known, int):
        return known
    last = [m for m in encoder.embed.conv if isinstance(m, nn.Conv2d)][-1]
    out = encoder.embed.get_submodule(subsampling_out(encoder.embed))
    bins = out.in_features // last.out_channels
    for size in (80, 83, 40, *range(1, 4096)):
        left = size
        for kernel, stride in convs:
            left = (left - kernel) // stride + 1
        if left == bins:
            return size
    raise UserError(f"{type(encoder).__name__}: no input size leads to {bins} bins")


def _modules(embed: Any) -> Any:
    return embed.modules() if isinstance(embed, nn.Module) else ()


def _read_others(encoder: nn.Module) -> Tuple[int, int, int]:
    """Count what no unit belongs to: parameters, MACs per frame, fixed MACs."""
    counted = ["encoders."]
    if isinstance(encoder.embed, CONV2D_SUBSAMPLINGS):
        counted += ["embed.conv.", f"embed.{subsampling_out(encoder.embed)}."]
    elif isinstance(encoder.embed, WaveEmbed):
        counted += ["embed.extractor.", "embed.projection."]
    params = sum(
        p.numel()
        for name, p in encoder.named_parameters()
        if not name.startswith(tuple(counted))
    )
    per_frame = fixed = 0
    for name, module in encoder.named_modules():
        if name.startswith(("encoders.", *(prefix for prefix in counted))):
            continue
        if name + "." in counted:
            continue
        convs = []
        if isinstance(module, ConvolutionalPositionalEmbedding):
            convs = module.convs
        elif isinstance(module, WaveEmbed):
            convs = [module.pos_conv.conv]
        if convs:
            for conv in convs:
                k = conv.kernel_size[0]
                macs = conv.in_channels * conv.out_channels // conv.groups * k
                per_frame += macs
                fixed += macs if k % 2 == 0 else 0  # an extra frame, then cut off
        elif isinstance(module, nn.Linear):
            times = 1
            if name == "conditioning_layer":
                # at every tap the CTC Linear, of the same size, runs before it
                times = 2 * len(encoder.interctc_layer_idx)
            per_frame += times * module.in_features * module.out_features
    return params, per_frame, fixed
