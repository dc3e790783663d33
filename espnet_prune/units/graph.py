# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Units: the smallest things that can be removed, and the tensors that go with them.

A mask multiplies the direct input of the consumer weight, after every bias, norm and
activation of the producer. Removing unit j is then removing its producer rows and its
consumer columns, and a soft value z_j folds into the consumer column. Only the mask of
a whole module scales a bias too, because it multiplies the module's output.
"""

import dataclasses
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch

from espnet_prune.price import Term, Vector
from espnet_prune.structure import REMAINING, Stack, Structure

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
        name: Name in the graph; a mask of `size` entries is addressed by it. It begins
            with the stack, for all but the encoder's.
        kind: "head", "ffn_unit", "conv_channel", "cgmlp_channel",
            "subsampling_channel", "wave_channel", "joint_unit" or "module".
        size: Number of units in the vector; 1 for a whole module.
        point: Where its mask multiplies.
        field: List of the Structure that counts it; for a module, its units' list.
        index: Position in that list.
        block: Position of its block, or None in a front end.
        producers: Slices that go with a unit.
        consumers: Slices that go with a unit and take its soft value.
        scaled: Tensors that a module's soft value multiplies.
        norm: Norm that goes with a module, if any.
        module: Name of the whole module's unit, if the module can be removed.
        also: Where else a mask acts, because removed units are mixed into others
            before `point`.
        path: Path of a whole module.
        extra: What it costs beside its weights, such as the products of attention.
        stack: The stack that it is in.
    """

    name: str
    kind: str
    size: int
    point: MaskPoint
    field: str
    index: int
    block: Optional[int] = None
    producers: Tuple[Slice, ...] = ()
    consumers: Tuple[Slice, ...] = ()
    scaled: Tuple[str, ...] = ()
    norm: Optional[str] = None
    module: Optional[str] = None
    also: Tuple[MaskPoint, ...] = ()
    path: str = ""
    extra: Tuple[Term, ...] = ()
    stack: str = "encoder"

    @property
    def points(self) -> Tuple[MaskPoint, ...]:
        """All places where the mask acts."""
        return (self.point, *self.also)

    @property
    def minimum(self) -> int:
        """How many units must stay: none if the module can go, else one."""
        return 0 if self.kind == "module" or self.module else 1

    def vector(self) -> Vector:
        """Return what counting and pricing need of it."""
        return Vector(
            self.field,
            self.index,
            self.size,
            self.minimum,
            self.block,
            self.kind,
        )

    def inside(self, stack: str, prefix: str) -> "Unit":
        """Return the unit as seen from a model of which its stack is a part.

        Args:
            stack: Name of the stack.
            prefix: Path of the stack in the model, with a dot at its end, or "".
        """

        def named(name: Optional[str]) -> Optional[str]:
            return name if stack == "encoder" or name is None else f"{stack}.{name}"

        def moved(things: Sequence[Any], key: str) -> Tuple:
            return tuple(
                dataclasses.replace(t, **{key: prefix + getattr(t, key)})
                for t in things
            )

        return dataclasses.replace(
            self,
            name=named(self.name),
            module=named(self.module),
            point=moved([self.point], "module")[0],
            also=moved(self.also, "module"),
            producers=moved(self.producers, "tensor"),
            consumers=moved(self.consumers, "tensor"),
            scaled=tuple(prefix + name for name in self.scaled),
            norm=self.norm and prefix + self.norm,
            path=self.path and prefix + self.path,
            stack=stack,
        )


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a stack is, and who knows it.

    Attributes:
        family: Its family.
        path: Its path in the root of the graph; "" if it is the root.
        blocks: Path, in the stack, of its blocks; "" without blocks.
        input_size: Width of its input.
    """

    family: Any
    path: str = ""
    blocks: str = ""
    input_size: int = 0


class UnitGraph:
    """All units of an encoder, or of all stacks of a model.

    Args:
        units: The units; a module's unit stands before its parts.
        dense: Structure with nothing removed.
        places: Where the stacks are, by name.
    """

    def __init__(
        self, units: List[Unit], dense: Structure, places: Mapping[str, Place]
    ) -> None:
        self.units: Dict[str, Unit] = {unit.name: unit for unit in units}
        self.dense, self.places = dense, dict(places)

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

        A removed module takes its units along, and one without units is removed: no
        lone consumer bias is left behind. Units without a mask are open.

        Raises:
            KeyError: A mask names a unit that the graph does not have.
        """
        unknown = [name for name in masks if name not in self.units]
        if unknown:
            raise KeyError(f"no unit named {unknown[0]}")
        found = {
            unit.name: masks.get(unit.name, torch.ones(unit.size)).detach().clone()
            for unit in self
        }
        for unit in self:
            if unit.module is None:
                continue
            if not found[unit.name].any():
                found[unit.module].zero_()
            if not found[unit.module].any():
                found[unit.name].zero_()
        return found

    def structure(self, masks: Masks) -> Structure:
        """Count what masks keep.

        Raises:
            UserError: A vector that must keep a unit keeps none.
        """
        masks, found = self.close(masks), {}
        for name, stack in self.dense.own.items():
            widths = stack.widths()
            for unit in self:
                if unit.stack != name or unit.kind == "module":
                    continue
                mask = masks[unit.name]
                widths[unit.field][unit.index] = int((mask != 0).sum())
                if unit.field in stack.names:
                    names = stack.names[unit.field][unit.index]
                    kept = [n for n, stays in zip(names, mask.tolist()) if stays]
                    widths[REMAINING[unit.field]][unit.index] = kept
            found[name] = stack.with_widths(widths)
        return Structure({**self.dense.stacks, **found})

    def first(
        self, structure: Structure, scores: Optional[Masks] = None
    ) -> Dict[str, torch.Tensor]:
        """Return masks that keep the first units of every vector.

        Units that the Structure names are kept by name.

        Args:
            structure: `dense` at other widths.
            scores: Values (size,) by unit, of which the largest come first then; those
                of whole modules are not needed.
        """
        masks = {}
        for unit in self:
            stack, mask = structure[unit.stack], torch.zeros(unit.size)
            count, kept = stack.count(unit.name), self._named(stack, unit)
            if unit.kind == "module":
                count = int(count > 0)
            elif kept is None and scores is not None:
                kept = scores[unit.name].topk(count).indices
            mask[slice(count) if kept is None else kept] = 1.0
            masks[unit.name] = mask
        return masks

    def _named(self, stack: Stack, unit: Unit) -> Any:
        """Return the positions of the units that a Stack names, if it does.

        Only WavLM's heads have names, see `Stack`.
        """
        dense = self.dense[unit.stack]
        named = unit.field in stack.names and unit.field in dense.names
        if unit.kind == "module" or not named:
            return None
        position, before = stack.position(unit.block), dense.names[unit.field]
        if position is None:
            return []
        names = stack.names[unit.field][position]
        return [before[unit.index].index(name) for name in names]

    def summary(self) -> str:
        """Return a table for people: kind, vectors, units."""
        lines = [f"{'kind':<20} {'vectors':>8} {'units':>8}"]
        for kind in dict.fromkeys(unit.kind for unit in self):
            found = self.of_kinds((kind,))
            total = sum(unit.size for unit in found)
            lines.append(f"{kind:<20} {len(found):>8} {total:>8}")
        return "\n".join(lines)
