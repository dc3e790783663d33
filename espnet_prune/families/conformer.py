# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Conformer encoders: feed-forward, self-attention, convolution, feed-forward."""

from espnet_prune.compat import ConformerEncoderLayer
from espnet_prune.families.encoder import EncoderFamily


class Conformer(EncoderFamily):
    """ESPnet's `conformer`."""

    stock, pruned = "conformer", "pruned_conformer"
    block = ConformerEncoderLayer
    modules = (
        ("macaron_linear_units", "feed_forward_macaron", "norm_ff_macaron"),
        ("attention_heads", "self_attn", "norm_mha"),
        ("conv_channels", "conv_module", "norm_conv"),
        ("linear_units", "feed_forward", "norm_ff"),
    )
