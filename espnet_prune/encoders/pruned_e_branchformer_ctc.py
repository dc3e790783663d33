# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""E-Branchformer encoder of OWSM-CTC at any Structure."""

from espnet2.asr.encoder.e_branchformer_ctc_encoder import EBranchformerCTCEncoder

from espnet_prune.encoders.pruned import Prunable


class PrunedEBranchformerCTCEncoder(Prunable, EBranchformerCTCEncoder):
    """OWSM-CTC's encoder whose blocks may differ in size; see `Prunable`."""

    layer_drop = "idle"
