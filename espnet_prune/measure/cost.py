# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Parameters and multiply-accumulates (MACs) of a model as one polynomial.

The variables are the numbers of units kept, the coefficients are derived from the
tensors of the model (`espnet_prune.units.pricing`). With integers the polynomial prices
a Structure exactly; with the expected counts of gates it is the differentiable budget
of L0 pruning; both run through the same terms.

An encoder has two parts. "front" is a front end whose channels can be removed, with the
Linear that takes its last channels to the width of the encoder: what that Linear costs
depends on those channels alone. "blocks" is all the rest: blocks, positions, norms, and
a front end without such channels. Other stacks of a model, its decoder or its joint
network, are a part each, and "others" is what is in none. No term mixes variables of
two parts.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Tuple, Union

import torch

from espnet_prune.measure.duration import frames_of
from espnet_prune.measure.prices import kinds
from espnet_prune.measure.tokens import priced
from espnet_prune.price import Vector
from espnet_prune.structure import OTHERS, Structure
from espnet_prune.units.pricing import BLOCKS, FRONT

PARTS = (FRONT, BLOCKS)  # of an encoder
WHOLE = "encoder"
MODEL = "model"
# what parts are called in configurations and results of older releases
BEFORE = {"cnn": FRONT, "transformer": BLOCKS}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of an encoder, or another part of a model, for one utterance.

    Attributes:
        params: Number of parameters, without buffers.
        macs: Multiply-accumulates for the utterance length asked for.
        stored: Bytes of the buffers, such as running statistics.
        ms: Milliseconds, where the Structure has been given a table of latencies.
    """

    params: int
    macs: int
    stored: int = dataclasses.field(default=0, repr=False)
    ms: float = dataclasses.field(default=0.0, repr=False, compare=False)


Term = Tuple[Cost, Tuple[str, ...]]  # what is paid, variables multiplied


def covers(whole: str, part: str) -> bool:
    """Say whether a part is all or some of another: "encoder" covers "front"."""
    return whole in (MODEL, part) or (whole == WHOLE and part in PARTS)


class CostModel:
    """Prices an encoder, or a model, at any number of kept units.

    Args:
        dense: Structure whose counts are the largest values of the variables.
        frames: Length of the utterance in input feature frames; `frames_of` says how
            many a model makes of some seconds, 1000 of 10 s with a 10 ms hop. Where raw
            speech comes in, a frame is 10 ms of samples, so that 1000 are 10 seconds
            there too.

    Attributes:
        variables: Full count of every variable, by the name of its unit.
        terms: The polynomial: what is paid, names of the factors.
        parts: Part that every variable belongs to.
    """

    def __init__(self, dense: Structure, frames: int = 1000) -> None:
        self.variables: Dict[str, int] = {}
        self.parts: Dict[str, str] = {}
        self._terms: Dict[str, List[Term]] = {}
        for name, stack in dense.stacks.items():
            price = stack.price
            times = price.clock.times(frames)
            for unit, vector in price.vectors.items():
                count = stack.count(unit)
                self.variables[unit] = int(count > 0) if vector.whole else count
                self.parts[unit] = _part(name, vector)
            for term in price.terms:
                if term.block is None or stack.position(term.block) is not None:
                    macs = sum(times[use] * number for use, number in term.macs)
                    terms = self._terms.setdefault(term.part, [])
                    paid = Cost(term.params, macs, term.stored, term.ms)
                    terms.append((paid, term.units))

    @property
    def terms(self) -> List[Term]:
        """All terms."""
        return self.terms_of(MODEL)

    def terms_of(self, part: str = MODEL) -> List[Term]:
        """Return the terms of a part, of the encoder, or of the model."""
        part = BEFORE.get(part, part)
        return [t for p, terms in self._terms.items() if covers(part, p) for t in terms]

    def exact(self, counts: Mapping[str, int], part: str = MODEL) -> Cost:
        """Price integer counts; a variable without an entry is full."""
        values = {**self.variables, **counts}
        params = macs = stored = 0
        ms = 0.0
        for paid, names in self.terms_of(part):
            product = 1
            for name in names:
                product *= int(values[name])
            params += paid.params * product
            macs += paid.macs * product
            stored += paid.stored * product
            ms += paid.ms * product
        return Cost(params, macs, stored, ms)


def _part(stack: str, vector: Vector) -> str:
    if stack != WHOLE:
        return stack
    return FRONT if vector.block is None else BLOCKS


class ExpectedCost:
    """The polynomial over a vector of expected counts, differentiable.

    Args:
        model: The cost model.
        names: Names of the variables that the vector holds, in its order; the
            others stay full.
        kind: A kind of cost, see `espnet_prune.measure.prices`.
        part: "front", "blocks", "encoder" for both, another stack, or "model".

    Attributes:
        full: Cost with every variable full.
    """

    def __init__(
        self, model: CostModel, names: List[str], kind: str, part: str = MODEL
    ) -> None:
        position = {name: i for i, name in enumerate(names)}
        one = len(names)  # index of a constant 1 behind the vector
        merged: Dict[Tuple[int, ...], float] = {}
        value = kinds()[kind].of
        for paid, factors in model.terms_of(part):
            coefficient = float(value(paid))
            index = []
            for name in factors:
                if name in position:
                    index.append(position[name])
                else:
                    coefficient *= model.variables[name]
            key = tuple(sorted(index))
            merged[key] = merged.get(key, 0.0) + coefficient
        width = max(map(len, merged))
        rows = [key + (one,) * (width - len(key)) for key in merged]
        self._index = torch.tensor(rows)
        self._coefficients = torch.tensor(list(merged.values()), dtype=torch.float64)
        self.full = float(value(model.exact({}, part)))

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the expected cost; counts (len(names),) -> scalar, float64."""
        if self._index.device != counts.device:
            self._index = self._index.to(counts.device)
            self._coefficients = self._coefficients.to(counts.device)
        values = torch.cat([counts.double(), counts.new_ones(1).double()])
        return (values[self._index].prod(dim=1) * self._coefficients).sum()


def cost(
    structure_or_root: Union[Structure, Any], frames: int = 1000, part: str = MODEL
) -> Cost:
    """Price an encoder or a model, or a Structure.

    Args:
        structure_or_root: A Structure, or an encoder or model (priced as it stands;
            masks that are not cut cost nothing less).
        frames: Input feature frames; see `CostModel`. With a 10 ms hop 1000 frames
            are 10 seconds.
        part: "front", "blocks", "encoder" for both, another stack, or "model" for all
            that there is.

    Returns:
        Parameters and MACs for one utterance.
    """
    structure = structure_or_root
    if not isinstance(structure, Structure):
        structure = Structure.dense(structure)
    return CostModel(structure, frames).exact({}, part)


def part_costs(structure: Structure, frames: int) -> Dict[str, Dict[str, int]]:
    """Return {part: {params, macs}}: those of the encoder, every stack, others, and all
    as "model".

    Args:
        structure: The Structure, see `measure.tokens.priced`.
        frames: Length of the utterance in input frames.
    """
    names = list(PARTS) if WHOLE in structure.stacks else []
    names += sorted(structure.stacks, key=lambda name: name == OTHERS)
    found = {name: cost(structure, frames, name) for name in (*names, MODEL)}
    return {k: {"params": c.params, "macs": c.macs} for k, c in found.items()}


def costs(
    structure: Structure, config: Mapping[str, Any], model: Any = None
) -> Dict[str, Any]:
    """Return the content of cost.json: costs at lengths that people know.

    Args:
        structure: What is priced: an encoder, or a model and its encoder.
        config: config.yaml of its model, for the frames of some seconds.
        model: The whole model, if there is one.
    """
    structure = priced(structure, config)
    found: Dict[str, Any] = {"encoder_params": cost(structure, part=WHOLE).params}
    for seconds in (10, 30):
        frames = frames_of(config, seconds)
        found[f"frames_{seconds}s"] = frames
        found[f"gmacs_{seconds}s"] = cost(structure, frames, WHOLE).macs / 1e9
    if len(structure.own) > 1:
        found["parts"] = part_costs(structure, frames_of(config))
    if model is not None:
        found["total_params"] = sum(p.numel() for p in model.parameters())
    return found
