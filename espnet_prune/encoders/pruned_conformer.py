# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Conformer encoder at any Structure."""

from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

from espnet_prune.encoders.pruned import Prunable


class PrunedConformerEncoder(Prunable, ConformerEncoder):
    """Conformer encoder whose blocks may differ in size; see `Prunable`."""
