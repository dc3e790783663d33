# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transformer encoder at any Structure."""

from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

from espnet_prune.encoders.pruned import Prunable


class PrunedTransformerEncoder(Prunable, TransformerEncoder):
    """Transformer encoder whose blocks may differ in size; see `Prunable`."""
