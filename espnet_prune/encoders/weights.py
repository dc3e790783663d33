# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Weights of wav2vec 2.0, HuBERT and WavLM, from wherever they were published.

All formats hold the same tensors under other names. They are brought to those of
torchaudio's models (with separate query, key and value, which its WavLM stacks), and
from there to those of our encoder. Nothing runs code from a file.
"""

import dataclasses
import json
import logging
import re
from pathlib import Path
from typing import Any, Mapping, Tuple

import torch
from torch import nn

from espnet_prune.checkpoints import State, read_weights
from espnet_prune.encoders.saved import (
    CONFIG,
    RATE,
    TYPES,
    extractor_of,
    sizes_of,
    weights_file,
)
from espnet_prune.encoders.speech_models import SpeechModel
from espnet_prune.state_dicts import load_strictly
from espnet_prune.utils import UserError, read_json

Renames = Tuple[Tuple[str, str], ...]

# what comes with a model beside its encoder
_HEADS = (
    r"(aux|lm_head|logit_generator|proj|final_proj|project_\w+|quantizer|"
    r"label_embs_concat)\b.*"
)
# what Hugging Face's models of 2021 call masked_spec_embed
_OLDER_MASK = "mask_time_emb_vector"
_PREFIX = r"^(model|w2v_encoder|w2v_model|wav2vec2|hubert|wavlm)\."

_FAIRSEQ: Renames = (
    (
        r"^feature_extractor\.conv_layers\.(\d+)\.0\.",
        r"feature_extractor.conv_layers.\1.conv.",
    ),
    (
        r"^feature_extractor\.conv_layers\.(\d+)\.2\.(1\.)?",
        r"feature_extractor.conv_layers.\1.layer_norm.",
    ),
    (r"^post_extract_proj\.", "encoder.feature_projection.projection."),
    (r"^layer_norm\.", "encoder.feature_projection.layer_norm."),
    (r"^encoder\.pos_conv\.0\.", "encoder.transformer.pos_conv_embed.conv."),
    (r"^encoder\.(layer_norm|layers)\.", r"encoder.transformer.\1."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"^mask_emb$", "masked_spec_embed"),
)
_HUGGING_FACE: Renames = (
    (r"^feature_projection\.", "encoder.feature_projection."),
    (r"^encoder\.(pos_conv_embed|layer_norm|layers)\.", r"encoder.transformer.\1."),
)
_OURS: Renames = (
    (r"^feature_extractor\.", "embed.extractor."),
    (r"^encoder\.feature_projection\.", "embed.projection."),
    (r"^encoder\.transformer\.pos_conv_embed\.", "embed.pos_conv."),
    (r"\.conv\.weight_g$", ".conv.parametrizations.weight.original0"),
    (r"\.conv\.weight_v$", ".conv.parametrizations.weight.original1"),
    (r"^.*\.0\.attention\.rel_attn_embed\.weight$", "embed.positions.table"),
    (r"^encoder\.transformer\.layers\.", "encoders."),
    (r"\.attention\.attention\.", ".attention."),
    (r"\.attention\.(q|k|v|out)_proj\.", r".self_attn.linear_\1."),
    (r"\.attention\.gru_rel_pos_linear\.", ".self_attn.gate."),
    (r"\.attention\.gru_rel_pos_const$", ".self_attn.gate_scale"),
    (r"\.feed_forward\.intermediate_dense\.", ".feed_forward.w_1."),
    (r"\.feed_forward\.output_dense\.", ".feed_forward.w_2."),
    (r"^(masked_spec_embed|mask_generator\.mask_embedding)$", "embed.mask_embedding"),
)


def load_weights(encoder: nn.Module, conf: SpeechModel, source: str) -> None:
    """Load published weights into an encoder, every tensor of it.

    Args:
        encoder: A `Wav2Vec2Encoder`.
        conf: Its sizes.
        source: Name of a torchaudio bundle, directory of a Hugging Face model, or a
            checkpoint.

    Raises:
        UserError: No such source, one that cannot be read, a model of another
            architecture or size, or missing tensors.
    """
    path = Path(source)
    if path.is_dir():
        _check_directory(path, conf)
        state = read_weights(weights_file(path))
    elif path.is_file():
        state = read_weights(path)
    else:
        state = _read_bundle(source)
    remedy = "; set model and sizes in encoder_conf to those of these weights"
    load_state(encoder, state, conf, f"weights: {source}", remedy)


def load_state(
    encoder: nn.Module, state: Mapping[str, Any], conf: SpeechModel, *said: str
) -> None:
    """Load a published state dict into an encoder, every tensor of it.

    Args:
        encoder: A `Wav2Vec2Encoder`.
        state: See `to_ours`.
        conf: Sizes of the encoder.
        *said: See `load_strictly`.

    Raises:
        UserError: Tensors are missing, or have another shape.
    """
    state = to_ours(state, conf)
    own = encoder.state_dict()
    for key in ("embed.scale", "embed.mask_embedding"):
        if key in own and key not in state:
            state[key] = own[key]  # no published model has the first, few the second
        elif key not in own:
            state.pop(key, None)
    load_strictly(encoder, state, *said)
    logging.info(f"{said[0]}: {len(state)} tensors")


def to_ours(state: Mapping[str, torch.Tensor], conf: SpeechModel) -> State:
    """Bring a published state dict to the names of our encoder.

    Args:
        state: Of torchaudio, Hugging Face, fairseq or WavLM's authors.
        conf: Sizes of the encoder.
    """
    found = {}
    for key, value in state.items():
        short = _stripped(key)
        if not re.fullmatch(_HEADS, short):
            found[short] = value
    older = found.pop(_OLDER_MASK, None)  # a left-over where both are there
    if older is not None:
        found.setdefault("masked_spec_embed", older)
    if any(key.startswith("post_extract_proj.") for key in found):
        found = _renamed(found, _FAIRSEQ)
    elif any(key.startswith("feature_projection.") for key in found):
        found = _renamed(found, _HUGGING_FACE)
    found = _unstacked(found)
    # what is called the layer norm of a block, or of the whole, depends on the model
    first, second = ("norm_mha", "norm_ff") if conf.gated else ("norm1", "norm2")
    last = "after_norm" if conf.normalize_before else "embed.norm"
    norms = (
        (r"^encoder\.transformer\.layer_norm\.", f"{last}."),
        (r"(transformer\.layers\.\d+)\.layer_norm\.", rf"\1.{first}."),
        (r"(transformer\.layers\.\d+)\.final_layer_norm\.", rf"\1.{second}."),
    )
    found = _renamed(found, norms + _OURS)
    return {
        key: value.flatten() if key.endswith(".gate_scale") else value
        for key, value in found.items()
    }


def _stripped(key: str) -> str:
    """Take the names of enclosing models off a key."""
    while re.match(_PREFIX, key):
        key = re.sub(_PREFIX, "", key)
    return key


def _renamed(state: State, renames: Renames) -> State:
    found = {}
    for key, value in state.items():
        for pattern, name in renames:
            key = re.sub(pattern, name, key)
        found[key] = value
    return found


def _unstacked(state: State) -> State:
    """Split query, key and value that lie in one tensor."""
    found = {}
    for key, value in state.items():
        start, stacked, end = key.partition(".in_proj_")
        if not stacked:
            found[key] = value
            continue
        for name, part in zip("qkv", value.chunk(3)):
            found[f"{start}.{name}_proj.{end}"] = part
    return found


def _read_bundle(name: str) -> State:
    import torchaudio

    bundle = getattr(torchaudio.pipelines, name, None)
    if not isinstance(bundle, torchaudio.pipelines.Wav2Vec2Bundle):
        raise UserError(
            f"weights: {name} is no file, no directory and no bundle of "
            "torchaudio.pipelines; give one of them, or null if a checkpoint is loaded"
        )
    return bundle.get_model().state_dict()


def _check_directory(path: Path, conf: SpeechModel) -> None:
    """Compare a Hugging Face model with the sizes wanted.

    Raises:
        UserError: Another architecture, size or sampling rate; the first that differs
            is named.
    """
    config = read_json(path / CONFIG)
    kind = config.get("model_type")
    if kind not in TYPES:
        raise UserError(
            f"weights: {path} is a Hugging Face model of type '{kind}'; only "
            f"{', '.join(TYPES)} can be read"
        )
    if (kind == "wavlm") != conf.gated:
        family = "wavlm" if kind == "wavlm" else "wav2vec2 or hubert"
        raise UserError(
            f"weights: {path} is a Hugging Face model of type '{kind}'; set model in "
            f"encoder_conf to a {family} one"
        )
    wanted = dataclasses.asdict(conf)
    for key, value in sizes_of(config).items():
        if value != wanted[key]:
            shown = [list(layer) for layer in value] if key == "conv_layers" else value
            raise UserError(
                f"weights: {path} has {key} {shown}, the encoder {wanted[key]}; set "
                f"{key}: {json.dumps(shown)} in encoder_conf"
            )
    rate = extractor_of(path)[1].get("sampling_rate")
    if rate not in (None, RATE):
        raise UserError(f"weights: {path} is for speech at {rate} Hz; only {RATE} fits")
