# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transformer encoders: self-attention, feed-forward."""

from typing import List

from torch import nn

from espnet_prune.compat import TransformerEncoderLayer
from espnet_prune.families.encoder import EncoderFamily, add_counts, has_heads
from espnet_prune.structure import Counts
from espnet_prune.units.graph import Unit
from espnet_prune.units.modules import (
    attention_units,
    attention_uses,
    feed_forward_units,
)
from espnet_prune.units.pricing import Parts


class Transformer(EncoderFamily):
    """ESPnet's `transformer`."""

    stock, pruned = "transformer", "pruned_transformer"
    block = TransformerEncoderLayer
    has_rates = False

    def block_counts(self, encoder: nn.Module) -> Counts:
        """Return the counts of heads and feed-forward units."""
        counts: Counts = {}
        if has_heads(encoder, "self_attn"):
            add_counts(counts, encoder, "attention_heads", "self_attn", lambda m: m.h)
        add_counts(counts, encoder, "linear_units", "feed_forward", ffn_units)
        return counts

    def block_units(self, path: str, block: nn.Module, index: int) -> List[Unit]:
        """Return the units of a block."""
        # a norm before a module goes with it, one after it stays
        norm = [f"{path}.norm{i}" if block.normalize_before else None for i in (1, 2)]
        whole = not block.concat_after
        return [
            *attention_units(
                f"{path}.self_attn", block.self_attn, index, norm[0], removable=whole
            ),
            *feed_forward_units(
                f"{path}.feed_forward",
                block.feed_forward,
                "linear_units",
                index,
                norm[1],
            ),
        ]

    def more(self, parts: Parts, path: str, block: nn.Module, index: int) -> None:
        """Say how often an attention's weights are used."""
        parts.uses.update(attention_uses(f"{path}.self_attn", block.self_attn))


def ffn_units(feed_forward: nn.Module) -> int:
    """Return the number of hidden units of a feed-forward."""
    return feed_forward.w_1.weight.size(0)
