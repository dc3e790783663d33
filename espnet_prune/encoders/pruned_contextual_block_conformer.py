# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Contextual block Conformer encoder at any Structure."""

from espnet2.asr.encoder.contextual_block_conformer_encoder import (
    ContextualBlockConformerEncoder,
)

from espnet_prune.encoders.pruned import Prunable


class PrunedContextualBlockConformerEncoder(Prunable, ContextualBlockConformerEncoder):
    """Contextual block Conformer whose blocks may differ in size; see `Prunable`."""

    layer_drop = "never"
