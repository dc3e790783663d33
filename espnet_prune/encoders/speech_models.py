# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Sizes of the self-supervised speech models that are published."""

import dataclasses
from typing import Any, Dict, Mapping, Tuple

from espnet_prune.units.wave import receptive_field
from espnet_prune.utils import UserError, check_keys

CONV_LAYERS = ((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)
RATES = ("16000", "16k")  # the only sampling rate, as it is written
NORMS = ("group_norm", "layer_norm")


@dataclasses.dataclass(frozen=True)
class SpeechModel:
    """Sizes of one model; every one is a key of `encoder_conf`.

    Attributes:
        output_size: Width of the residual stream d.
        attention_heads: Heads of each block.
        linear_units: Hidden units of each feed-forward.
        num_blocks: Number of blocks.
        normalize_before: Norm before each module (Large) or after it (Base).
        conv_layers: (channels, kernel, stride) of every convolution over the waveform.
        extractor_mode: "group_norm" after the first convolution (Base) or "layer_norm"
            after each (Large).
        conv_bias: Whether the convolutions have a bias.
        normalize_waveform: Bring each utterance to mean 0 and variance 1 first.
        waveform_eps: What is added to that variance; Hugging Face adds 1e-7.
        pos_conv_kernel: Kernel of the convolution for positions.
        pos_conv_groups: Its groups.
        gated: WavLM's attention, with gated relative positions.
        num_buckets: Its classes of distances.
        max_distance: Its distance from which on all share a class.
    """

    output_size: int = 768
    attention_heads: int = 12
    linear_units: int = 3072
    num_blocks: int = 12
    normalize_before: bool = False
    conv_layers: Tuple[Tuple[int, int, int], ...] = CONV_LAYERS
    extractor_mode: str = "group_norm"
    conv_bias: bool = False
    normalize_waveform: bool = False
    waveform_eps: float = 1e-5
    pos_conv_kernel: int = 128
    pos_conv_groups: int = 16
    gated: bool = False
    num_buckets: int = 320
    max_distance: int = 800

    def __post_init__(self) -> None:
        layers = self.conv_layers
        if not layers or any(len(layer) != 3 or min(layer) < 1 for layer in layers):
            raise UserError(
                f"encoder_conf: conv_layers {layers} must list [channels, kernel, "
                "stride] of every convolution"
            )
        if self.extractor_mode not in NORMS:
            raise UserError(
                f"encoder_conf: extractor_mode '{self.extractor_mode}' is neither "
                f"{' nor '.join(NORMS)}"
            )
        for key in ("attention_heads", "pos_conv_groups"):
            if self.output_size % getattr(self, key):
                raise UserError(
                    f"encoder_conf: {key} {getattr(self, key)} does not divide "
                    f"output_size {self.output_size}"
                )


_LARGE: Dict[str, Any] = dict(
    output_size=1024, attention_heads=16, linear_units=4096, num_blocks=24
)
_LAYER_NORM: Dict[str, Any] = dict(
    extractor_mode="layer_norm", normalize_before=True, normalize_waveform=True
)
_XLARGE: Dict[str, Any] = dict(
    output_size=1280, attention_heads=16, linear_units=5120, num_blocks=48
)

PRESETS: Dict[str, SpeechModel] = {
    "wav2vec2_base": SpeechModel(),
    "wav2vec2_large": SpeechModel(**_LARGE),
    "wav2vec2_large_lv60k": SpeechModel(**_LARGE, **_LAYER_NORM, conv_bias=True),
    "hubert_base": SpeechModel(),
    "hubert_large": SpeechModel(**_LARGE, **_LAYER_NORM),
    "hubert_xlarge": SpeechModel(**_XLARGE, **_LAYER_NORM),
    "wavlm_base": SpeechModel(gated=True),
    "wavlm_large": SpeechModel(**_LARGE, **_LAYER_NORM, gated=True),
}


def speech_model(model: str, sizes: Mapping[str, Any]) -> SpeechModel:
    """Return a published model's sizes with some of them changed.

    Raises:
        UserError: An unknown model or key, or sizes that do not fit together.
    """
    check_keys([model], PRESETS, "encoder_conf: model")
    known = [field.name for field in dataclasses.fields(SpeechModel)]
    check_keys(sizes, [name for name in known if name != "gated"], "encoder_conf")
    given = dict(sizes)
    if "conv_layers" in given:
        given["conv_layers"] = tuple(tuple(layer) for layer in given["conv_layers"])
    return dataclasses.replace(PRESETS[model], **given)


def shortest_speech(encoder_conf: Mapping[str, Any]) -> int:
    """Return the number of samples that give one frame.

    Args:
        encoder_conf: That of a wav2vec 2.0, HuBERT or WavLM encoder.

    Raises:
        UserError: See `speech_model`.
    """
    given = {k: v for k, v in encoder_conf.items() if k == "conv_layers"}
    conf = speech_model(encoder_conf.get("model", "wav2vec2_base"), given)
    return receptive_field([(kernel, stride) for _, kernel, stride in conf.conv_layers])
