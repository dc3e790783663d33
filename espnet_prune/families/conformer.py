# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Conformer encoders: feed-forward, self-attention, convolution, feed-forward."""

from typing import Any, List, Optional

from torch import nn

from espnet_prune.compat import ConformerEncoderLayer
from espnet_prune.families.encoder import EncoderFamily, add_counts, has_heads
from espnet_prune.families.transformer import ffn_units
from espnet_prune.structure import Counts
from espnet_prune.units.graph import Unit
from espnet_prune.units.modules import (
    attention_units,
    attention_uses,
    convolution_units,
    feed_forward_units,
)
from espnet_prune.units.pricing import Parts


class Conformer(EncoderFamily):
    """ESPnet's `conformer`."""

    stock, pruned = "conformer", "pruned_conformer"
    block = ConformerEncoderLayer

    def block_counts(self, encoder: nn.Module) -> Counts:
        """Return the counts of units, heads and channels."""
        counts: Counts = {}
        macaron = ("macaron_linear_units", "feed_forward_macaron")
        add_counts(counts, encoder, *macaron, ffn_units)
        if has_heads(encoder, "self_attn"):
            add_counts(counts, encoder, "attention_heads", "self_attn", lambda m: m.h)
        self.add_channels(counts, encoder)
        add_counts(counts, encoder, "linear_units", "feed_forward", ffn_units)
        return counts

    def add_channels(self, counts: Counts, encoder: nn.Module) -> None:
        """Add the counts of the channels of convolution modules."""
        field = ("conv_channels", "conv_module")
        add_counts(counts, encoder, *field, lambda m: m.depthwise_conv.weight.size(0))

    def convolution_units(
        self, path: str, module: Any, index: int, norm: Optional[str]
    ) -> List[Unit]:
        """Return the units of a convolution module."""
        return convolution_units(path, module, index, norm)

    def block_units(self, path: str, block: nn.Module, index: int) -> List[Unit]:
        """Return the units of a block."""

        def norm(name: str) -> Optional[str]:
            # a norm before a module goes with it, one after it stays
            return f"{path}.{name}" if block.normalize_before else None

        def feed_forward(name: str, norm_name: str, field: str) -> List[Unit]:
            module = getattr(block, name)
            return feed_forward_units(
                f"{path}.{name}", module, field, index, norm(norm_name)
            )

        return [
            *feed_forward(
                "feed_forward_macaron", "norm_ff_macaron", "macaron_linear_units"
            ),
            *attention_units(
                f"{path}.self_attn",
                block.self_attn,
                index,
                norm("norm_mha"),
                removable=not block.concat_after,
            ),
            *self.convolution_units(
                f"{path}.conv_module", block.conv_module, index, norm("norm_conv")
            ),
            *feed_forward("feed_forward", "norm_ff", "linear_units"),
        ]

    def more(self, parts: Parts, path: str, block: nn.Module, index: int) -> None:
        """Say how often an attention's weights are used."""
        parts.uses.update(attention_uses(f"{path}.self_attn", block.self_attn))
