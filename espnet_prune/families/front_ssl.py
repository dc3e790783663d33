# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Self-supervised models as front ends: the units of wav2vec 2.0, HuBERT and WavLM.

A frame of theirs, 20 ms, is a frame of the encoder behind them, and is counted as one.
"""

from typing import Any

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import nn

from espnet_prune.families.wav2vec2 import Wav2Vec2
from espnet_prune.structure import FRONT_SSL
from espnet_prune.units.wave import WaveEmbed


class FrontSSL(Wav2Vec2):
    """Our `pruned_ssl`, which ESPnet's `s3prl` and `huggingface` are read as."""

    pruned = "pruned_ssl"
    stack, attribute, key = FRONT_SSL, "frontend", "frontend"
    frame_samples = 320

    def fits(self, module: nn.Module) -> bool:
        """Say whether a front end takes raw speech as these models do."""
        embed = getattr(module, "embed", None)
        return isinstance(module, AbsFrontend) and isinstance(embed, WaveEmbed)

    def run(self, module: nn.Module, inputs: Any, ctc: Any = None) -> torch.Tensor:
        """Return the features of real frames; (n, C)."""
        x, lengths = inputs
        features, lengths = module(x.to(next(module.parameters()).dtype), lengths)
        real = torch.arange(features.size(1)) < lengths[:, None]
        return features[real]
