# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Joint networks of transducers, whose units are the dimensions in which both meet.

Greedy search asks the joint network once per frame, and so its cost is counted.
"""

from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import nn

from espnet_prune.compat import JointNetwork
from espnet_prune.families.base import Family
from espnet_prune.structure import Stack
from espnet_prune.units.graph import MaskPoint, Place, Slice, Unit
from espnet_prune.units.pricing import Parts

FIELD = "joint_space"


class Joint(Family):
    """ESPnet's joint network: of any width, so that there is no class but the stock."""

    stock = attribute = "joint_network"  # configurations do not name it
    stack, key = "joint", "joint_net"

    def named_in(self, config: Mapping[str, Any]) -> Optional[str]:
        """Return what stands for the class, which configurations do not name."""
        return self.stock

    def conf_key(self, config: Mapping[str, Any]) -> str:
        """Return the key of the arguments; ESPnet's task asr_transducer has its own."""
        other = f"{self.stock}_conf"
        return other if other in config else super().conf_key(config)

    def fits(self, module: nn.Module) -> bool:
        """Say whether this is ESPnet's joint network."""
        return type(module) is JointNetwork

    def parts(self, module: nn.Module) -> Parts:
        """Return units, counts and prices; see `Family.parts`."""
        size = module.lin_out.in_features
        rows = ["lin_enc.weight", "lin_enc.bias", "lin_dec.weight"]
        if module.lin_dec.bias is not None:
            rows.append("lin_dec.bias")
        dimensions = Unit(
            name="space",
            kind="joint_unit",
            size=size,
            point=MaskPoint("lin_out", "pre"),
            field=FIELD,
            index=0,
            producers=tuple(Slice(name, 0) for name in rows),
            consumers=(Slice("lin_out.weight", 1),),
        )
        return Parts(
            units=[dimensions],
            blocks={},
            front={FIELD: [size]},
            input_size=module.lin_enc.in_features,
        )

    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return random outputs of encoder and decoder, and their lengths."""
        lengths = torch.randint(2, 20, (2,), generator=generator).tolist()
        sizes = (place.input_size, module.lin_dec.in_features)
        frames, tokens = (
            torch.randn(1 + trial % 4, length, size, generator=generator)
            for length, size in zip(lengths, sizes)
        )
        return (frames[:, :, None], tokens[:, None]), lengths

    def run(self, module: nn.Module, inputs: Any, ctc: Any = None) -> torch.Tensor:
        """Return the scores of all pairs; (n, V)."""
        frames, tokens = (x.to(module.lin_out.weight.dtype) for x in inputs)
        return module(frames, tokens).flatten(0, 2)

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments of the stock class, which can have any width."""
        return {**conf, "joint_space_size": kept.front[FIELD][0]}
