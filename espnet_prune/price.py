# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the units of a stack cost, as plain data: a polynomial in their numbers.

The price of a stack is derived from its tensors once, in `espnet_prune.units.pricing`.
From then on nothing but these numbers is needed: a structure.json carries them, so that
a Structure can be priced without a model.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_prune.runtime.reader import read_as
from espnet_prune.utils import UserError

# (coefficient, convolutions passed, power of the frames, power of the tokens)
Monomial = Tuple[int, int, int, int]
FRAME = "frame"  # once per frame that the blocks see
ONCE = "once"
CONTEXT = 2  # frames of a chunk that carry what was heard before, and hand it on


@dataclasses.dataclass(frozen=True)
class Clock:
    """How often things happen, by the length of the input.

    Attributes:
        samples: Samples of input that count as one frame of 10 ms: 160 where raw
            speech at 16 kHz comes in, 1 where features do.
        chain: (kernel, stride) of every convolution that shortens time, in order.
        uses: For every use of a weight, how often it takes place: monomials in the
            number of frames, after some of the convolutions (-1: all), and of tokens.
        tokens: Tokens per input frame, for stacks that run once per token.
        beam: Hypotheses that are extended at every token.
        chunk: (frames, hop) of the overlapping chunks that blocks see one at a time, or
            () where they see all frames. An utterance of at most one chunk is seen as
            it is. Monomials find, behind the frames after all convolutions, the frames
            of all chunks together, with their context, and the pairs in them.
    """

    samples: int = 1
    chain: Tuple[Tuple[int, int], ...] = ()
    uses: Mapping[str, Tuple[Monomial, ...]] = dataclasses.field(default_factory=dict)
    tokens: float = 0.0
    beam: int = 1
    chunk: Tuple[int, ...] = ()

    def times(self, frames: int) -> Dict[str, int]:
        """Return how often each use takes place for a number of input frames.

        What takes place for every token does so for every hypothesis.
        """
        steps = [frames * self.samples]
        for kernel, stride in self.chain:
            steps.append((steps[-1] - kernel) // stride + 1)
        if self.chunk:
            (size, hop), number, seen = self.chunk, 1, steps[-1]
            if seen > size:
                number, seen = -(-(seen - size + hop) // hop), size + CONTEXT
            steps += [number * seen, number * seen**2]
        length = round(frames * self.tokens)
        uses = {FRAME: ((1, len(self.chain), 1, 0),), ONCE: ((1, 0, 0, 0),)}
        return {
            use: int(
                sum(
                    c * steps[i] ** t * length**n * (self.beam if n else 1)
                    for c, i, t, n in monomials
                )
            )
            for use, monomials in {**uses, **self.uses}.items()
        }


@dataclasses.dataclass(frozen=True)
class Vector:
    """Like units, as far as counting them goes.

    Attributes:
        field: List of the Structure that counts them.
        index: Position in that list.
        size: How many there are.
        least: How many must stay.
        block: Position of their block, or None in a front end.
        kind: Kind of unit; a "module" is there or not, and `field` counts its units.
    """

    field: str
    index: int
    size: int
    least: int = 0
    block: Optional[int] = None
    kind: str = ""

    @property
    def whole(self) -> bool:
        """Whether this is a module."""
        return self.kind == "module"


@dataclasses.dataclass(frozen=True)
class Term:
    """Parameters and MACs that are there as often as all units together.

    Attributes:
        params: Parameters, times the product of the numbers of units.
        macs: The same for MACs: how many at each use of a weight.
        units: Names of the vectors whose numbers are multiplied.
        part: Part of the model that pays.
        block: Position of the block that it goes with, or None.
        stored: Bytes of buffers, which a checkpoint has beside the parameters.
        ms: Milliseconds, for the length of audio and on the device of the table that
            they are from; 0 where none was asked for.
    """

    params: int
    macs: Tuple[Tuple[str, int], ...] = ()
    units: Tuple[str, ...] = ()
    part: str = "blocks"
    block: Optional[int] = None
    stored: int = 0
    ms: float = 0.0


@dataclasses.dataclass(frozen=True)
class Price:
    """The price of one stack at any numbers of units.

    Attributes:
        vectors: The vectors of units, by name.
        terms: The polynomial.
        clock: How often weights are used.
        kept_blocks: Names of the blocks at the positions that vectors and terms give.
        named: Lists of the Structure whose units have names.
    """

    vectors: Mapping[str, Vector]
    terms: Tuple[Term, ...]
    clock: Clock = Clock()
    kept_blocks: Tuple[int, ...] = ()
    named: Tuple[str, ...] = ()

    def with_clock(self, **changes: Any) -> "Price":
        """Return this price with some attributes of its clock changed."""
        clock = dataclasses.replace(self.clock, **changes)
        return dataclasses.replace(self, clock=clock)

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data; `from_dict` gives an equal Price back."""
        return {
            "clock": _lists(dataclasses.asdict(self.clock)),
            "kept_blocks": list(self.kept_blocks),
            "named": list(self.named),
            "vectors": {
                name: list(dataclasses.astuple(v)) for name, v in self.vectors.items()
            },
            "terms": [_lists(dataclasses.astuple(term)) for term in self.terms],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> "Price":
        """Build a Price from plain data.

        Raises:
            UserError: Missing or unknown keys, or values of another type or form.
        """
        given = read_as(_Read, data, where)
        try:
            clock = {key: tuples(v) for key, v in given["clock"].items()}
            clock["uses"] = {k: tuples(v) for k, v in given["clock"]["uses"].items()}
            price = cls(
                vectors={k: Vector(*v) for k, v in given["vectors"].items()},
                terms=tuple(Term(*map(tuples, term)) for term in given["terms"]),
                clock=Clock(**clock),
                kept_blocks=tuple(given["kept_blocks"]),
                named=tuple(given["named"]),
            )
            price.check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{where}: not a price as it was written") from error
        return price

    def check(self) -> None:
        """Check that terms name vectors, uses and blocks that are there.

        Raises:
            KeyError: One is not.
            ValueError: A position that is none.
        """
        times = self.clock.times(1000)
        for term in self.terms:
            int(term.params), int(term.stored), float(term.ms), sum(
                times[use] * n for use, n in term.macs
            )
            for name in term.units:
                self.vectors[name].size + self.vectors[name].least
                self.vectors[name].field.isidentifier()
        for item in (*self.terms, *self.vectors.values()):
            if item.block is not None and not 0 <= item.block < len(self.kept_blocks):
                raise ValueError(item)


@dataclasses.dataclass
class _Read:
    """The keys of a written Price and their types."""

    clock: Dict[str, Any]
    kept_blocks: List[int]
    named: List[str]
    vectors: Dict[str, list]
    terms: List[list]


def merged(terms: Sequence[Term]) -> Tuple[Term, ...]:
    """Return a term for every product of units, in the order of the first ones."""
    sums: Dict[Tuple, Tuple[int, int, float, Dict[str, int]]] = {}
    for term in terms:
        key = (tuple(sorted(term.units)), term.part, term.block)
        params, stored, ms, macs = sums.get(key, (0, 0, 0.0, {}))
        macs = dict(macs)
        for use, number in term.macs:
            macs[use] = macs.get(use, 0) + number
        sums[key] = (params + term.params, stored + term.stored, ms + term.ms, macs)
    return tuple(
        Term(
            params,
            tuple((u, n) for u, n in macs.items() if n),
            units,
            part,
            block,
            stored,
            ms,
        )
        for (units, part, block), (params, stored, ms, macs) in sums.items()
        if params or stored or ms or any(macs.values())
    )


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return (
        [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
    )


def tuples(value: Any) -> Any:
    """Return tuples for all lists in nested lists."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value
