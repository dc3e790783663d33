# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transformer decoder at any Structure."""

from typing import Any, Optional

from espnet2.asr.decoder.transformer_decoder import TransformerDecoder

from espnet_prune.families import unit_graph
from espnet_prune.units import narrow


class PrunedTransformerDecoder(TransformerDecoder):
    """Transformer decoder whose blocks may differ in size.

    With the defaults it is the stock decoder, state dict keys included.

    Args:
        vocab_size: Number of tokens V.
        encoder_output_size: Width of the memory and of the residual stream d.
        structure: `Stack.widths()`: per-block lists `self_attention_heads`,
            `source_attention_heads` and `linear_units`, where 0 means that the module
            is absent, and `kept_blocks`.
        **stock: Every argument of the stock decoder, with the dense sizes.

    Raises:
        UserError: A structure that does not fit the dense sizes.
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        structure: Optional[dict] = None,
        **stock: Any,
    ) -> None:
        super().__init__(vocab_size, encoder_output_size, **stock)
        if structure:
            # which units stay does not matter: the weights are loaded afterwards
            graph = unit_graph(self)
            wanted = graph.dense.with_widths(structure)
            narrow(self, graph, graph.first(wanted), wanted)
