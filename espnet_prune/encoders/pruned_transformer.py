# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transformer encoder at any Structure."""

from typing import Any, Optional

from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

from espnet_prune.encoders.pruned import shrink


class PrunedTransformerEncoder(TransformerEncoder):
    """Transformer encoder whose blocks may differ in size.

    With `structure=None` it equals the stock encoder, state dict keys included.

    Args:
        input_size: Feature dimension of the input.
        structure: `Structure.widths()`: per-block lists `attention_heads`,
            `linear_units`, ...; 0 means that the module is absent.
        **stock: Every argument of the stock encoder, with the dense sizes.

    Raises:
        UserError: The structure does not fit the dense sizes.
    """

    def __init__(
        self, input_size: int, structure: Optional[dict] = None, **stock: Any
    ) -> None:
        super().__init__(input_size, **stock)
        self.input_size = input_size
        shrink(self, structure)
