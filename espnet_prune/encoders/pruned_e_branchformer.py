# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""E-Branchformer encoder at any Structure."""

from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder

from espnet_prune.encoders.pruned import Prunable


class PrunedEBranchformerEncoder(Prunable, EBranchformerEncoder):
    """E-Branchformer encoder whose blocks may differ in size; see `Prunable`."""

    layer_drop = "skips"
