# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Multi-convolution Conformer encoder at any Structure."""

from espnet2.asr.encoder.multiconvformer_encoder import MultiConvConformerEncoder

from espnet_prune.encoders.pruned import Prunable


class PrunedMultiConvConformerEncoder(Prunable, MultiConvConformerEncoder):
    """Multi-convolution Conformer whose blocks may differ in size; see `Prunable`."""

    layer_drop = "both"
