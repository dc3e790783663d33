# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Branchformer encoder at any Structure."""

from espnet2.asr.encoder.branchformer_encoder import BranchformerEncoder

from espnet_prune.encoders.pruned import Prunable


class PrunedBranchformerEncoder(Prunable, BranchformerEncoder):
    """Branchformer encoder whose blocks may differ in size; see `Prunable`."""

    layer_drop = "unknown"
