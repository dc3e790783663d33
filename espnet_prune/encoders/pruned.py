# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What every prunable encoder adds to its stock class: the argument `structure`."""

from typing import Any, Mapping, Optional

from torch import nn

from espnet_prune.units import narrow, unit_graph


def shrink(encoder: nn.Module, widths: Optional[Mapping[str, Any]]) -> None:
    """Narrow a freshly built dense encoder to the widths of a Structure.

    Which units stay does not matter here, because the weights are loaded afterwards.

    Args:
        encoder: The encoder as the stock constructor built it.
        widths: `Structure.widths()`, or None to leave it dense.

    Raises:
        UserError: The widths do not fit the encoder.
    """
    if not widths:
        return
    graph = unit_graph(encoder)
    structure = graph.dense.with_widths(widths)
    narrow(encoder, graph, graph.first(structure), structure.kept_blocks)
