# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""wav2vec 2.0, HuBERT and WavLM at any Structure."""

import logging
from typing import Any, Optional

from espnet_prune.encoders.pruned import Prunable
from espnet_prune.encoders.wav2vec2 import Wav2Vec2Encoder


class PrunedWav2Vec2Encoder(Prunable, Wav2Vec2Encoder):
    """`Wav2Vec2Encoder` whose convolutions and blocks may differ in size.

    Args:
        input_size: 1, the width of raw speech.
        structure: See `Prunable`.
        weights: See `Wav2Vec2Encoder`; without effect beside `structure`, because the
            weights of a cut model are in its checkpoint.
        **others: See `Prunable` and `Wav2Vec2Encoder`.
    """

    layer_drop = "both"

    def __init__(
        self,
        input_size: int = 1,
        structure: Optional[dict] = None,
        weights: Optional[str] = None,
        **others: Any,
    ) -> None:
        if structure and weights is not None:
            logging.info(f"weights {weights} not read: the model is cut already")
            weights = None
        super().__init__(input_size, structure, weights=weights, **others)
