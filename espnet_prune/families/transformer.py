# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transformer encoders: self-attention, feed-forward."""

from espnet_prune.compat import TransformerEncoderLayer
from espnet_prune.families.encoder import EncoderFamily


class Transformer(EncoderFamily):
    """ESPnet's `transformer`."""

    stock, pruned = "transformer", "pruned_transformer"
    block = TransformerEncoderLayer
    has_rates = False
    modules = (
        ("attention_heads", "self_attn", "norm1"),
        ("linear_units", "feed_forward", "norm2"),
    )
