# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The keys of `--distill_conf`."""

import dataclasses
from typing import Any, Dict, List, Optional, Union

from espnet_prune.distill.losses import DISTANCES
from espnet_prune.distill.matching import MATCHINGS
from espnet_prune.runtime.reader import read_as
from espnet_prune.utils import UserError


@dataclasses.dataclass
class DistillConf:
    """Weights and variants of the distillation losses.

    Args:
        w_asr: Weight of ESPnet's own loss.
        w_layer: Weight of the hidden-state loss; 0 switches it off.
        w_ctc: Weight of the divergence of CTC distributions.
        w_att: Weight of the divergence of decoder distributions.
        normalise: Divide every loss by a detached running mean of itself, so that
            the weights compare losses of different units.
        momentum: Share of the old value in a running mean.
        ratio_limit: A normalised loss counts at most this much, so that a loss that
            was tiny at the start cannot swamp the others when it grows.
        temperature: Softening of both distributions in `w_ctc` and `w_att`.
        blank_weight: Weight CTC frames by one minus the teacher's blank probability.
        matching: `fixed`, `nearest` or `nearest_in_order`.
        layers: Teacher blocks to learn from: a list of 0-based indices, or a number
            of evenly spaced blocks that end at the last.
        distance: Of hidden states: `mse`, or `l1_cosine` as DPHuBERT has it.
        block_input: Compare what enters the first block, too.
        projections: Learn linear maps from the student's states to the teacher's: one
            for the input of the blocks, one for all outputs, at first the identity.
            A projections.pth of an earlier training goes on from there.
        labels: False: train on speech alone, by hidden states. The text of the data,
            if there is any, is not used.

    Raises:
        UserError: A weight is negative, the temperature is not positive, or another
            value is outside its range.
    """

    w_asr: float = 1.0
    w_layer: float = 1.0
    w_ctc: float = 1.0
    w_att: float = 1.0
    normalise: bool = True
    momentum: float = 0.99
    ratio_limit: float = 2.0
    temperature: float = 2.0
    blank_weight: bool = False
    matching: str = "nearest_in_order"
    layers: Union[int, List[int]] = 4
    distance: str = "mse"
    block_input: bool = False
    projections: Union[bool, str] = False
    labels: bool = True

    def __post_init__(self):
        for name in ("w_asr", "w_layer", "w_ctc", "w_att"):
            if not getattr(self, name) >= 0:
                raise UserError(f"distill_conf: {name} must be 0 or more")
        for name in ("temperature", "ratio_limit"):
            if not getattr(self, name) > 0:
                raise UserError(f"distill_conf: {name} must be above 0")
        if not 0 <= self.momentum < 1:
            raise UserError("distill_conf: momentum must be in [0, 1)")
        for name, known in (("matching", MATCHINGS), ("distance", DISTANCES)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"distill_conf: {name} is '{getattr(self, name)}', must be one of "
                    f"{', '.join(known)}"
                )
        if not self.w_layer and (self.block_input or self.projections):
            raise UserError(
                "distill_conf: block_input and projections belong to the loss on "
                "hidden states; set w_layer above 0"
            )
        if not self.labels:
            if not self.w_layer:
                raise UserError(
                    "distill_conf: without labels only hidden states teach; set "
                    "w_layer above 0"
                )
            self.w_asr = self.w_ctc = self.w_att = 0.0
        counts = [self.layers] if isinstance(self.layers, int) else self.layers
        if (
            not isinstance(counts, (list, tuple))
            or not counts
            or not all(isinstance(i, int) for i in counts)
            or (isinstance(self.layers, int) and self.layers < 1)
        ):
            raise UserError(
                f"distill_conf: layers is {self.layers!r}, must be a number of "
                "blocks or a list of block indices"
            )

    @classmethod
    def from_dict(cls, conf: Optional[Dict[str, Any]]) -> "DistillConf":
        """Build from YAML.

        Raises:
            UserError: Unknown key (the nearest is named), or a value out of range.
        """
        return cls(**read_as(cls, conf, "distill_conf"))

    @property
    def needs_teacher(self) -> bool:
        """Whether any distillation loss has a weight."""
        return max(self.w_layer, self.w_ctc, self.w_att) > 0
