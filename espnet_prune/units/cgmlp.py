# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Units of the convolutional gating MLP (cgMLP) of the Branchformer family.

`channel_proj1` makes 2 C channels out of d. The second half, the gate, passes a layer
norm over its C channels, a depthwise convolution, maybe a Linear, and multiplies the
first half; `channel_proj2` takes the C products back to d. (ESPnet:
espnet2/asr/layers/cgmlp.py.)

The norm and the Linear mix channels before the products are masked. While masks are
attached, the norm therefore takes its statistics over the open channels only, and the
Linear reads zeros for the removed ones; then masked equals cut.
"""

import dataclasses
from typing import Any, List, Optional

from torch import nn

from espnet_prune.units.graph import MaskPoint, Slice, Unit
from espnet_prune.units.modules import module_unit


def cgmlp_units(name: str, cgmlp: Any, index: int, norm: Optional[str]) -> List[Unit]:
    """Return the units of a cgMLP: itself, and its channels after the gating.

    Channel j owns rows j and j + C of the first projection.

    Args:
        name: Path of the cgMLP in the encoder.
        cgmlp: The module, whose convolutions are depthwise; what has no gate, such as
            one that was removed, has no units.
        index: Position of its block.
        norm: Path of the norm that goes with it.
    """
    if not hasattr(cgmlp, "csgu"):
        return []
    channels, csgu = cgmlp.channel_proj2.in_features, f"{name}.csgu"
    producers = []
    for tensor in ("weight", "bias"):
        for offset in (0, channels):
            producers.append(
                Slice(f"{name}.channel_proj1.0.{tensor}", 0, offset=offset)
            )
        producers.append(Slice(f"{csgu}.norm.{tensor}", 0))
        producers += [
            Slice(f"{csgu}.{conv}.{tensor}", 0)
            for conv, layer in cgmlp.csgu.named_modules()
            if isinstance(layer, nn.Conv1d)  # one, or several that are added
        ]
    also = [MaskPoint(f"{csgu}.norm", "norm")]
    if cgmlp.csgu.linear is not None:
        producers.append(Slice(f"{csgu}.linear.weight", 0))
        producers.append(Slice(f"{csgu}.linear.bias", 0))
        producers.append(Slice(f"{csgu}.linear.weight", 1))
        also.append(MaskPoint(f"{csgu}.linear", "open"))
    field, out = "cgmlp_units", f"{name}.channel_proj2"
    # the module itself returns a tuple where there are positions
    whole = dataclasses.replace(
        module_unit(name, field, index, "channel_proj2", norm),
        point=MaskPoint(out, "post"),
    )
    units = Unit(
        name=f"{name}.channels",
        kind="cgmlp_channel",
        size=channels,
        point=MaskPoint(out, "pre"),
        field=field,
        index=index,
        block=index,
        producers=tuple(producers),
        consumers=(Slice(f"{out}.weight", 1),),
        module=name,
        also=tuple(also),
    )
    return [whole, units]
