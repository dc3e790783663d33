# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Units: the smallest things that can be removed, and the tensors that go with them.

A mask multiplies the direct input of the consumer weight, after every bias, norm and
activation of the producer. Removing unit j is then removing its producer rows and its
consumer columns, and a soft value z_j folds into the consumer column. Only the mask of
a whole module scales a bias too, because it multiplies the module's output.
"""

import dataclasses
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

import torch

from espnet_prune.structure import FRONT_FIELDS, Structure

Masks = Mapping[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Slice:
    """The entries of one tensor dimension that belong to the units of one vector.

    Unit j owns entries offset + j * group ... offset + (j + 1) * group - 1.
    """

    tensor: str
    dim: int
    group: int = 1
    offset: int = 0

    def entries(self, units: torch.Tensor) -> torch.Tensor:
        """Return the entries of the given units; (n,) -> (n * group,)."""
        inner = torch.arange(self.group, device=units.device)
        return (self.offset + units[:, None] * self.group + inner).reshape(-1)


@dataclasses.dataclass(frozen=True)
class MaskPoint:
    """Where and how a mask acts on a module.

    `when` is "pre" or "post": the mask multiplies the module's input or output;
    "open": the input is multiplied by 1 where the mask is not 0; "norm": the module, a
    layer norm over `dim`, takes its statistics over the open units only.
    """

    module: str
    when: str
    dim: int = -1
    group: int = 1


@dataclasses.dataclass(frozen=True)
class Unit:
    """A vector of like units: the heads of one attention, one FFN's units, ...

    Attributes:
        name: Name in the graph; a mask of `size` entries is addressed by it.
        kind: "head", "ffn_unit", "conv_channel", "cgmlp_channel",
            "subsampling_channel", "wave_channel" or "module".
        size: Number of units in the vector; 1 for a whole module.
        point: Where its mask multiplies.
        field: List of the Structure that counts it; for a module, its units' list.
        index: Position in that list.
        producers: Slices that go with a unit.
        consumers: Slices that go with a unit and take its soft value.
        scaled: Tensors that a module's soft value multiplies.
        norm: Norm that goes with a module, if any.
        module: Name of the whole module's unit, if the module can be removed.
        also: Where else a mask acts, because closed units are mixed into others
            before `point`.
    """

    name: str
    kind: str
    size: int
    point: MaskPoint
    field: str
    index: int
    producers: Tuple[Slice, ...] = ()
    consumers: Tuple[Slice, ...] = ()
    scaled: Tuple[str, ...] = ()
    norm: Optional[str] = None
    module: Optional[str] = None
    also: Tuple[MaskPoint, ...] = ()

    @property
    def points(self) -> Tuple[MaskPoint, ...]:
        """All places where the mask acts."""
        return (self.point, *self.also)

    @property
    def minimum(self) -> int:
        """How many units must stay: none if the module can go, else one."""
        return 0 if self.kind == "module" or self.module else 1


class UnitGraph:
    """All units of one encoder.

    Args:
        units: The units; a module's unit stands before its parts.
        dense: Structure of the encoder with nothing removed.
    """

    def __init__(self, units: List[Unit], dense: Structure) -> None:
        self.units: Dict[str, Unit] = {unit.name: unit for unit in units}
        self.dense = dense

    def __iter__(self) -> Iterator[Unit]:
        return iter(self.units.values())

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, name: str) -> Unit:
        return self.units[name]

    def of_kinds(self, kinds: Tuple[str, ...]) -> List[Unit]:
        """Return the units of the given kinds."""
        return [unit for unit in self if unit.kind in kinds]

    def close(self, masks: Masks) -> Dict[str, torch.Tensor]:
        """Make masks consistent, so that a masked encoder equals a cut one.

        A closed module closes its units and a module without units is closed: no
        lone consumer bias is left behind. Units without a mask are open.

        Raises:
            KeyError: A mask names a unit that the graph does not have.
        """
        unknown = [name for name in masks if name not in self.units]
        if unknown:
            raise KeyError(f"no unit named {unknown[0]}")
        closed = {
            unit.name: masks.get(unit.name, torch.ones(unit.size)).detach().clone()
            for unit in self
        }
        for unit in self:
            if unit.module is None:
                continue
            if not closed[unit.name].any():
                closed[unit.module].zero_()
            if not closed[unit.module].any():
                closed[unit.name].zero_()
        return closed

    def structure(self, masks: Masks) -> Structure:
        """Count what masks keep.

        Raises:
            UserError: A vector that must keep a unit keeps none.
        """
        widths = self.dense.widths()
        for unit in self:
            if unit.kind != "module":
                widths[unit.field][unit.index] = 0
        for name, mask in self.close(masks).items():
            unit = self.units[name]
            if unit.kind != "module":
                widths[unit.field][unit.index] = int((mask != 0).sum())
            if unit.kind == "head" and self.dense.remaining_heads is not None:
                heads = self.dense.remaining_heads[unit.index]
                widths["remaining_heads"][unit.index] = [
                    head for head, kept in zip(heads, mask.tolist()) if kept
                ]
        return self.dense.with_widths(widths)

    def first(self, structure: Structure) -> Dict[str, torch.Tensor]:
        """Return masks that keep the first units of every vector.

        Heads that the Structure names are kept by name.
        """
        masks = {}
        for unit in self:
            count = self.count(structure, unit)
            if unit.kind == "module":
                count = int(count > 0)
            mask, named = torch.zeros(unit.size), self.named(structure, unit)
            mask[named if named is not None else slice(count)] = 1.0
            masks[unit.name] = mask
        return masks

    def named(self, structure: Structure, unit: Unit) -> Optional[List[int]]:
        """Return the positions of the heads that a Structure names, if it does.

        Only WavLM's heads have names, see `Structure`.
        """
        names, dense = structure.remaining_heads, self.dense.remaining_heads
        if unit.kind != "head" or names is None or dense is None:
            return None
        block = self.dense.kept_blocks[unit.index]
        if block not in structure.kept_blocks:
            return []
        kept = names[structure.kept_blocks.index(block)]
        return [dense[unit.index].index(head) for head in kept]

    def count(self, structure: Structure, unit: Unit) -> int:
        """Return how many units of a vector a Structure keeps; 0 in a lost block."""
        counts = dict(structure.fields())[unit.field]
        if unit.field in FRONT_FIELDS:
            return counts[unit.index]
        block = self.dense.kept_blocks[unit.index]
        if block not in structure.kept_blocks:
            return 0
        return counts[structure.kept_blocks.index(block)]

    def summary(self) -> str:
        """Return a table for people: kind, vectors, units."""
        lines = [f"{'kind':<20} {'vectors':>8} {'units':>8}"]
        for kind in dict.fromkeys(unit.kind for unit in self):
            found = self.of_kinds((kind,))
            total = sum(unit.size for unit in found)
            lines.append(f"{kind:<20} {len(found):>8} {total:>8}")
        return "\n".join(lines)
