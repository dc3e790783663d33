# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Units: the smallest things that can be removed, what they are made of and cost."""

from espnet_prune.units.graph import MaskPoint, Masks, Place, Slice, Unit, UnitGraph
from espnet_prune.units.hooks import MaskHooks, masked, without_masks
from espnet_prune.units.modules import Removed
from espnet_prune.units.narrow import narrow
from espnet_prune.units.norms import unit_norms

__all__ = [
    "MaskHooks",
    "MaskPoint",
    "Masks",
    "Place",
    "Removed",
    "Slice",
    "Unit",
    "UnitGraph",
    "masked",
    "narrow",
    "unit_norms",
    "without_masks",
]
