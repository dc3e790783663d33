# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Contextual block Transformer encoder at any Structure."""

from espnet2.asr.encoder.contextual_block_transformer_encoder import (
    ContextualBlockTransformerEncoder,
)

from espnet_prune.encoders.pruned import Prunable


class PrunedContextualBlockTransformerEncoder(
    Prunable, ContextualBlockTransformerEncoder
):
    """Contextual block Transformer whose blocks may differ in size; see `Prunable`."""

    layer_drop = "never"
