# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What every prunable encoder adds to its stock class: the argument `structure`."""

from typing import Any, Optional

from espnet_prune.units import narrow, unit_graph


class Prunable:
    """Stands before a stock encoder class among the bases of a pruned one.

    With `structure=None` the result equals the stock encoder, state dict keys included.

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
        if structure:
            # which units stay does not matter: the weights are loaded afterwards
            graph = unit_graph(self)
            wanted = graph.dense.with_widths(structure)
            narrow(self, graph, graph.first(wanted), wanted.kept_blocks)
