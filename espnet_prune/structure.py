# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Structure: how much of every module of a model is kept. Plain data.

Every selector produces one, the cutter consumes it, the cost model prices it, and
`encoder_conf` and `decoder_conf` of a pruned model carry its widths.
"""

import dataclasses
import random as _random
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_prune.price import Price
from espnet_prune.runtime.reader import fits, mapping, read_as
from espnet_prune.utils import PathLike, UserError, check_keys, read_json, write_json

# where a configuration says which units of a list remain, for units that have names
REMAINING = {"attention_heads": "remaining_heads"}
# lists of flat widths that are no lists over blocks
FRONT_FIELDS = ("subsampling_channels", "wave_channels")
OTHERS, FRONT_SSL = "others", "front_ssl"  # what is in no stack; before the encoder

Counts = Dict[str, List[int]]
Names = Dict[str, List[List[int]]]


@dataclasses.dataclass
class Stack:
    """How much of every module of one stack remains: of an encoder, a decoder, ...

    Attributes:
        kept_blocks: The indices that the blocks had in the dense model.
        blocks: For every kind of unit its counts, one per remaining block; 0 means that
            the module is absent.
        front: The same for what stands before the blocks, one per convolution.
        names: For kinds whose units have names, the indices that the remaining ones had
            in the dense model, per block. A head of WavLM has one, because it reads its
            own column of a table and its own part of the block's input; counts say all
            about other units. A kind that is missing is left open.
        price: What all this costs, for a stack of which this one is a part or all.
    """

    kept_blocks: List[int]
    blocks: Counts = dataclasses.field(default_factory=dict)
    front: Counts = dataclasses.field(default_factory=dict)
    names: Names = dataclasses.field(default_factory=dict)
    price: Price = dataclasses.field(default_factory=lambda: Price({}, ()))

    def __post_init__(self) -> None:
        for field, counts in self.fields():
            if not fits(List[int], counts):
                raise UserError(f"structure: {field} must be a list of integers")
            if min(counts, default=0) < 0:
                raise UserError(f"structure: {field} holds a negative count")
            if field in self.blocks and len(counts) != len(self.kept_blocks):
                raise UserError(
                    f"structure: {field} has {len(counts)} entries for "
                    f"{len(self.kept_blocks)} kept blocks; give one entry per block"
                )
        if list(self.kept_blocks) != sorted(set(self.kept_blocks)):
            raise UserError("structure: kept_blocks must rise strictly")
        for field, names in self.names.items():
            counts = self.blocks.get(field, [])
            key = REMAINING.get(field, field)
            if [len(indices) for indices in names] != list(counts):
                raise UserError(
                    f"structure: {key} must list {counts} units, as {field} says"
                )
            if any(list(indices) != sorted(set(indices)) for indices in names):
                raise UserError(f"structure: {key} must rise strictly")

    def fields(self) -> List[Tuple[str, List[int]]]:
        """Return (name, counts) of every list that this kind of stack has."""
        return [*self.blocks.items(), *self.front.items()]

    def count(self, name: str) -> int:
        """Return how many units of a vector are kept; 0 in a lost block.

        A whole module counts as its units.
        """
        vector = self.price.vectors[name]
        if vector.block is None:
            return self.front[vector.field][vector.index]
        position = self.position(vector.block)
        return 0 if position is None else self.blocks[vector.field][position]

    def position(self, block: int) -> Optional[int]:
        """Return where a block of the priced stack stands here; None if it is lost."""
        name = self.price.kept_blocks[block]
        return self.kept_blocks.index(name) if name in self.kept_blocks else None

    def least(self, field: str) -> int:
        """Return how many units of a list must stay in every place."""
        return max(
            (v.least for v in self.price.vectors.values() if v.field == field),
            default=int(field in self.front),
        )

    def widths(self) -> Dict[str, Any]:
        """Return what `encoder_conf: {structure: ...}` of a pruned model carries."""
        widths: Dict[str, Any] = {key: list(counts) for key, counts in self.fields()}
        if self.blocks:
            widths["kept_blocks"] = list(self.kept_blocks)
        for field, names in self.names.items():
            widths[REMAINING[field]] = [list(indices) for indices in names]
        return widths

    def with_widths(self, widths: Mapping[str, Any]) -> "Stack":
        """Return this stack at other widths; see `Structure.with_widths`."""
        known = [field for field, _ in self.fields()]
        known += ["kept_blocks"] if self.blocks else []
        check_keys(
            widths, [*known, *(REMAINING[f] for f in self.price.named)], "structure"
        )
        kept = list(widths.get("kept_blocks", self.kept_blocks))
        missing = [block for block in kept if block not in self.kept_blocks]
        if missing or (self.kept_blocks and not kept):
            raise UserError(
                f"structure: kept_blocks {kept} does not fit an encoder with blocks "
                f"{self.kept_blocks}"
            )
        position = [self.kept_blocks.index(block) for block in kept]
        lists = [(f, c, [c[i] for i in position]) for f, c in self.blocks.items()]
        lists += [(field, counts, counts) for field, counts in self.front.items()]
        values = {field: self._given(field, full, widths) for field, _, full in lists}
        return Stack(
            kept_blocks=kept,
            blocks={field: values[field] for field in self.blocks},
            front={field: values[field] for field in self.front},
            names=self._given_names(widths, values, position),
            price=self.price,
        )

    def _given(
        self, field: str, full: List[int], widths: Mapping[str, Any]
    ) -> List[int]:
        """Return one list of `widths`, or what it is by default."""
        given = widths.get(field)
        given = list(full if given is None else given)
        if len(given) != len(full):
            raise UserError(
                f"structure: {field} has {len(given)} entries, the encoder has "
                f"{len(full)}"
            )
        least = self.least(field)
        for i, (n, size) in enumerate(zip(given, full)):
            if not min(least, size) <= n <= size:
                raise UserError(
                    f"structure: {field}[{i}] is {n}, this encoder allows "
                    f"{min(least, size)} to {size}"
                )
        return given

    def _given_names(
        self, widths: Mapping[str, Any], counts: Counts, position: List[int]
    ) -> Names:
        """Return which units remain, as far as `widths` or the counts decide it."""
        found = {}
        for field in self.price.named:
            given, own = widths.get(REMAINING[field]), None
            if field in self.names:
                own = [self.names[field][i] for i in position]
            if given is not None:
                if own is not None and (
                    len(given) != len(own)
                    or any(set(some) - set(names) for some, names in zip(given, own))
                ):
                    raise UserError(
                        f"structure: {REMAINING[field]} {given} are not among the "
                        f"encoder's {own}"
                    )
                found[field] = [list(names) for names in given]
            elif own is not None:
                rows = list(zip(counts[field], own))
                if all(n in (0, len(names)) for n, names in rows):
                    found[field] = [list(names) if n else [] for n, names in rows]
        return found

    def summary(self) -> str:
        """Return a table for people: one line per block."""
        lines = []
        if self.blocks:
            lines = ["block " + " ".join(f"{field:>22}" for field in self.blocks)]
        for i, block in enumerate(self.kept_blocks):
            row = " ".join(f"{c[i] or '-':>22}" for c in self.blocks.values())
            lines.append(f"{block:>5} {row}")
        for field, channels in self.front.items():
            numbers = ", ".join(map(str, channels))
            lines.append(f"{field.replace('_', ' ')}: {numbers}")
        return "\n".join(lines)

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**own, "price": self.price.to_dict()}

    @classmethod
    def from_dict(cls, data: Any, where: str) -> "Stack":
        """Build a Stack from plain data; see `Structure.from_dict`."""
        given = mapping(data, where)
        if "price" in given:
            price = Price.from_dict(given["price"], f"{where}: price")
            given = {**given, "price": price}
        stack = cls(**read_as(_Read, given, where))
        try:
            for name, vector in stack.price.vectors.items():
                if not vector.whole and not 0 <= stack.count(name) <= vector.size:
                    raise ValueError(name)
        except (IndexError, KeyError, ValueError) as error:
            raise UserError(f"{where}: its counts do not fit its price") from error
        return stack


def block_lists(widths: Mapping[str, Any]) -> Counts:
    """Return the lists of flat widths that have an entry per remaining block."""
    others = (*FRONT_FIELDS, "kept_blocks", *REMAINING.values())
    return {key: v for key, v in widths.items() if v and key not in others}


@dataclasses.dataclass
class _Read:
    """The keys of a written Stack and their types."""

    kept_blocks: List[int]
    blocks: Dict[str, list]
    front: Dict[str, list]
    names: Dict[str, list]
    price: Price


@dataclasses.dataclass
class Structure:
    """How much of every module of a model remains.

    Attributes:
        stacks: Its stacks: "encoder", "decoder", "joint", `FRONT_SSL`, and "others" for
            what is in none of them, where the Structure is that of a whole model.
    """

    stacks: Dict[str, Stack]

    def __getitem__(self, stack: str) -> Stack:
        return self.stacks[stack]

    @property
    def own(self) -> Dict[str, Stack]:
        """The stacks that have units."""
        return {name: stack for name, stack in self.stacks.items() if name != OTHERS}

    @classmethod
    def dense(cls, root: Any) -> "Structure":
        """Return the Structure of an encoder or a model as it stands, nothing removed.

        Args:
            root: A stock or pruned encoder, decoder, joint network or model of ESPnet
                (torch.nn.Module).
        """
        from espnet_prune.families import unit_graph

        return unit_graph(root).dense

    @classmethod
    def random(cls, root: Any, seed: int, keep: float = 0.5) -> "Structure":
        """Draw a Structure that `root` can be cut to.

        A module is absent with probability (1 - keep) / 4; otherwise the share of its
        units that stays is uniform around `keep`. The same seed gives the same draw.
        """
        dense, rng = cls.dense(root), _random.Random(seed)
        spread = min(keep, 1.0 - keep)
        drawn = {}
        for name, stack in dense.own.items():
            widths = {}
            for field, counts in stack.fields():
                least, widths[field] = stack.least(field), []
                for size in counts:
                    removed = not least and rng.random() < (1.0 - keep) / 4
                    if size and not removed:
                        share = rng.uniform(keep - spread, keep + spread)
                        size = max(1, round(size * share))
                    widths[field].append(0 if removed else size)
            drawn[name] = stack.with_widths(widths)
            drawn[name].names = {}
        return cls({**dense.stacks, **drawn})

    def widths(self) -> Dict[str, Any]:
        """Return the widths of the only stack, or of several by name."""
        widths = {name: stack.widths() for name, stack in self.own.items()}
        return widths if len(widths) > 1 else next(iter(widths.values()))

    def with_widths(self, widths: Mapping[str, Any]) -> "Structure":
        """Return this Structure at other widths.

        Args:
            widths: As `widths` returns them; those of the encoder alone may be given
                for a model, whose other stacks stay as they are.

        Raises:
            UserError: An unknown key, a kind this encoder does not have, more units
                than there are, or none where at least one must stay.
        """
        own = self.own
        if not widths:
            return self
        if not set(widths) & set(own):
            first = "encoder" if "encoder" in own else next(iter(own))
            widths = {first: widths}
        check_keys(widths, own, "structure")
        changed = {key: own[key].with_widths(value) for key, value in widths.items()}
        return Structure({**self.stacks, **changed})

    def with_tokens(self, tokens: float, beam: int = 1) -> "Structure":
        """Return this Structure, priced for a rate of tokens and for a beam.

        Args:
            tokens: Tokens per input frame of 10 ms.
            beam: Hypotheses that are extended at every token.
        """
        stacks = {
            name: dataclasses.replace(
                stack, price=stack.price.with_clock(tokens=tokens, beam=beam)
            )
            for name, stack in self.stacks.items()
        }
        return Structure(stacks)

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data; `from_dict` gives an equal Structure back."""
        return {"stacks": {name: s.to_dict() for name, s in self.stacks.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Structure":
        """Build a Structure from plain data, also from that of an older release.

        Raises:
            UserError: Missing or unknown keys, values of another type, or lists that do
                not fit together.
        """
        data = mapping(data, "structure")
        if "stacks" not in data:
            from espnet_prune.structure_before import read_before

            return read_before(data)
        check_keys(data, ("stacks",), "structure")
        stacks = mapping(data["stacks"], "structure: stacks")
        return cls(
            {
                str(name): Stack.from_dict(stack, f"structure: {name}")
                for name, stack in stacks.items()
            }
        )

    def save(self, path: PathLike, **provenance: Any) -> None:
        """Write `structure.json`; `provenance` says where the Structure came from."""
        data: Dict[str, Any] = {"structure": self.to_dict()}
        if provenance:
            data["provenance"] = provenance
        write_json(data, path)

    @classmethod
    def load(cls, path: PathLike) -> "Structure":
        """Read `structure.json`.

        Raises:
            UserError: The file is missing, not JSON, or not a Structure.
        """
        data = read_json(path)
        if not isinstance(data, dict) or "structure" not in data:
            raise UserError(f"{path}: not a structure file; key 'structure' is missing")
        try:
            return cls.from_dict(data["structure"])
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def diff(self, other: "Structure") -> Dict[str, Tuple[Any, Any]]:
        """Return the lists that differ, as {field: (own, other's)}.

        Names of units that one of the two leaves open do not differ.
        """
        found = {}
        for name in {**self.own, **other.own}:
            mine, theirs = (
                s.own[name].widths() if name in s.own else {} for s in (self, other)
            )
            before = "" if name == "encoder" else f"{name}: "
            for key in {**mine, **theirs}:
                both = key in mine and key in theirs
                if mine.get(key) != theirs.get(key) and (
                    both or key not in REMAINING.values()
                ):
                    found[before + key] = (mine.get(key), theirs.get(key))
        return found

    def summary(self) -> str:
        """Return a table for people: one line per block of every stack."""
        tables = {name: stack.summary() for name, stack in self.own.items()}
        if len(tables) == 1:
            return next(iter(tables.values()))
        return "\n".join(f"{name}:\n{table}" for name, table in tables.items())
