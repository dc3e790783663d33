# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's encoder `torchaudiohubert`, read as our `pruned_wav2vec2`.

It is torchaudio's HuBERT in its training form; recognising, it computes what ours does.
"""

from typing import Any, Dict, Mapping

import torch

from espnet_prune.encoders.speech_models import CONV_LAYERS
from espnet_prune.encoders.weights import to_ours
from espnet_prune.utils import UserError

STOCK, OURS = "torchaudiohubert", "pruned_wav2vec2"
INSIDE = "hubert_pretrain_model."  # what its tensors are called by
# its arguments -> ours, and what it has where nothing is said
_ARGUMENTS: Mapping[str, Any] = {
    "extractor_mode": ("extractor_mode", "group_norm"),
    "extractor_conv_layer_config": ("conv_layers", [list(n) for n in CONV_LAYERS]),
    "extractor_conv_bias": ("conv_bias", False),
    "encoder_embed_dim": ("output_size", 768),
    "encoder_projection_dropout": ("projection_dropout_rate", 0.1),
    "encoder_pos_conv_kernel": ("pos_conv_kernel", 128),
    "encoder_pos_conv_groups": ("pos_conv_groups", 16),
    "encoder_num_layers": ("num_blocks", 12),
    "encoder_num_heads": ("attention_heads", 12),
    "encoder_attention_dropout": ("attention_dropout_rate", 0.1),
    "encoder_ff_interm_features": ("linear_units", 3072),
    "encoder_ff_interm_dropout": ("ff_dropout_rate", 0.0),
    "encoder_dropout": ("dropout_rate", 0.1),
    "encoder_layer_norm_first": ("normalize_before", False),
    "encoder_layer_drop": ("layer_drop_rate", 0.05),
    "mask_prob": ("mask_time_prob", 0.8),
    "mask_length": ("mask_time_length", 10),
    "mask_channel_prob": ("mask_channel_prob", 0.0),
    "mask_channel_length": ("mask_channel_length", 10),
}


def as_ours(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a configuration whose encoder is ours, if it is this one.

    Args:
        config: Content of config.yaml; it is left as it is.

    Raises:
        UserError: The encoder is one that is being pre-trained, which hears no
            text.
    """
    if config.get("encoder") != STOCK:
        return dict(config)
    conf = config.get("encoder_conf") or {}
    if not conf.get("finetuning"):
        raise UserError(
            f"encoder: {STOCK} with finetuning: false is in pre-training and hears no "
            "text; train it with finetuning: true first"
        )
    own = {ours: conf.get(key, value) for key, (ours, value) in _ARGUMENTS.items()}
    own.update(model="hubert_base", normalize_waveform=False, freeze_cnn=True)
    return {**config, "encoder": OURS, "encoder_conf": own}


def renamed(
    state: Mapping[str, torch.Tensor], prefix: str, encoder: Any
) -> Dict[str, torch.Tensor]:
    """Give the tensors of that encoder the names that they have in ours.

    The head of its pre-training and a counter of steps are left out.

    Args:
        state: A state dict; one that has none of their names stays as it is.
        prefix: What stands before the names of the encoder's tensors.
        encoder: Ours, a `Wav2Vec2Encoder`.
    """
    theirs = f"{prefix}{INSIDE}"
    inside = {k[len(theirs) :]: v for k, v in state.items() if k.startswith(theirs)}
    if not inside:
        return dict(state)
    own = encoder.state_dict()
    found = {k: v for k, v in to_ours(inside, encoder.conf).items() if k in own}
    found.setdefault("embed.scale", own["embed.scale"])
    others = {k: v for k, v in state.items() if not k.startswith(prefix)}
    return {**others, **{f"{prefix}{key}": value for key, value in found.items()}}
