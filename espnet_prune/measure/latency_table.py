# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Milliseconds of an encoder on one device: a table of what its units take.

A row is a term of the price of the encoder: a module that is there takes its overhead,
and every unit in it adds as much as the row of its kind says; channels of two
convolutions that meet are multiplied. Like modules of all blocks share their rows.
With a table, milliseconds are one more amount of every `Term`, and whatever works for
parameters works for them. `measure.latency_fit` measures a table.
"""

import dataclasses
import importlib
import math
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Sequence, Tuple

from espnet_prune.measure.cost import WHOLE, cost
from espnet_prune.measure.duration import SECONDS, frames_of
from espnet_prune.price import Price, Term, merged
from espnet_prune.runtime.measure import device_name
from espnet_prune.runtime.reader import fits, read_as
from espnet_prune.structure import Stack, Structure
from espnet_prune.utils import PathLike, UserError, read_json, write_json

NAME = "latency.json"
TORCH, ONNX, INT8 = "torch", "onnx", "onnx_int8"
RUNTIMES = (TORCH, ONNX, INT8)  # what can run an encoder, and be measured


@dataclasses.dataclass
class LatencyTable:
    """What the units of one encoder take on one device, for one length of audio.

    Attributes:
        device: Name of the processor.
        runtime: What runs the encoder, one of `RUNTIMES`.
        version: Its version.
        threads: Threads that it uses. The time of one thread is its CPU time.
        seconds: Length of the audio.
        frames: The same in input frames.
        date: When it was measured, as ISO 8601 writes it.
        params: Parameters of the dense encoder.
        macs: Its MACs for that length.
        dense_ms: Milliseconds of the dense encoder, as measured.
        structures: How many random structures were measured.
        error: Mean absolute error on them, as a share.
        rows: Milliseconds of each term by its name.
        round_to: It was measured at multiples of so many units.
    """

    device: str
    runtime: str
    version: str
    threads: int
    seconds: float
    frames: int
    date: str
    params: int
    macs: int
    dense_ms: float
    structures: int
    error: float
    rows: Dict[str, float]
    round_to: int = 1

    @classmethod
    def load(cls, path: PathLike) -> "LatencyTable":
        """Read a table.

        Raises:
            UserError: The file is missing or no table.
        """
        data = read_as(cls, read_json(path), str(path))
        rows = data["rows"]
        if not rows or not fits(Tuple[float, ...], list(rows.values())):
            raise UserError(f"{path}: rows must say milliseconds by the name of a term")
        if not all(0 <= ms < math.inf for ms in (*rows.values(), data["dense_ms"])):
            raise UserError(f"{path}: milliseconds must be 0 or more")
        return cls(**data)

    def save(self, path: PathLike) -> None:
        """Write the table."""
        write_json(dataclasses.asdict(self), path)

    def check(
        self,
        dense: Structure,
        frames: int,
        threads: int,
        where: str,
        runtime: str = TORCH,
    ) -> None:
        """Refuse a table of something else.

        Args:
            dense: Structure of the encoder, or of a model with it.
            frames: Length of the audio in input frames.
            threads: Threads that are asked for.
            where: File of the table, for the sentence.
            runtime: What is to run the encoder.

        Raises:
            UserError: Another runtime, length, number of threads, or encoder.
        """
        remedy = "give another table, or make one by espnet-prune latency"
        if self.runtime != runtime:
            raise UserError(
                f"{where}: measured with runtime '{self.runtime}', and the budget is "
                f"one of '{runtime}'; {remedy} --runtime {runtime}"
            )
        if self.threads != threads:
            raise UserError(
                f"{where}: measured on {self.threads} thread(s), and the budget is one "
                f"of {threads}; {remedy} --threads {threads}"
            )
        if self.frames != frames:
            raise UserError(
                f"{where}: measured for {self.frames} input frames ({self.seconds:g} "
                f"s), and the budget is one of {frames}; {remedy} --seconds "
                f"{frames * self.seconds / self.frames:g}"
            )
        found = cost(dense, frames, WHOLE)
        own = {name for name, _ in named_terms(dense[WHOLE])}
        if (found.params, found.macs) != (self.params, self.macs) or own != set(
            self.rows
        ):
            raise UserError(
                f"{where}: measured on an encoder of {self.params:,} parameters and "
                f"{self.macs:,} MACs, and this one has {found.params:,} and "
                f"{found.macs:,} or other kinds of units; {remedy}"
            )

    def here(self) -> bool:
        """Say whether this machine is the device, so that it can be measured on."""
        own = (device_name(), runtime_version(self.runtime))
        return (self.device, self.version) == own

    def timed(self, structure: Structure) -> Structure:
        """Return a Structure whose encoder has a price in milliseconds, too."""
        stack = structure[WHOLE]
        terms = [dataclasses.replace(term, ms=0.0) for term in stack.price.terms]
        for name, term in named_terms(stack):
            # a term of its own; what goes with the same units is added up
            own = Term(0, (), term.units, term.part, term.block, ms=self.rows[name])
            terms.append(own)
        price = dataclasses.replace(stack.price, terms=merged(terms))
        own = dataclasses.replace(stack, price=price)
        return Structure({**structure.stacks, WHOLE: own})

    def summary(self, dense: Structure) -> str:
        """Return a table for people.

        Args:
            dense: Structure of the encoder.
        """
        amounts = amounts_of(dense[WHOLE])
        lines = [
            f"{self.device}, {self.runtime} {self.version}, {self.threads} thread(s), "
            f"{self.seconds:g} s of audio, {self.date}",
            f"dense encoder: {self.dense_ms:.1f} ms; {self.structures} structures, "
            f"mean error {self.error:.1%}",
            f"{'term':<52} {'ms each':>10} {'in dense':>9} {'ms':>8}",
        ]
        for name, ms in self.rows.items():
            number = amounts.get(name, 0)
            lines.append(f"{name:<52} {ms:>10.6f} {number:>9} {ms * number:>8.2f}")
        return "\n".join(lines)


def named_terms(stack: Stack) -> Iterator[Tuple[str, Term]]:
    """Return what a table has a row for: (name of the row, term) of all terms.

    Every module that can go has a term of its own, its overhead, even if nothing of
    its size is its own.
    """
    price = stack.price
    alone = [
        Term(0, units=(name,), block=vector.block)
        for name, vector in price.vectors.items()
        if vector.whole
    ]
    seen = set()
    for term in (*price.terms, *alone):
        key = (tuple(sorted(term.units)), term.part, term.block)
        if key not in seen:
            seen.add(key)
            yield _name(price, term), term


def amounts_of(stack: Stack) -> Dict[str, int]:
    """Return how many units every row of a table counts in a stack."""
    amounts: Dict[str, int] = {}
    for name, term in named_terms(stack):
        amounts[name] = amounts.get(name, 0) + amount(stack, term)
    return amounts


def amount(stack: Stack, term: Term) -> int:
    """Return how many units a term counts: the product of their numbers."""
    if term.block is not None and stack.position(term.block) is None:
        return 0
    product = 1
    for name in term.units:
        count = stack.count(name)
        product *= int(count > 0) if stack.price.vectors[name].whole else count
    return product


def _name(price: Price, term: Term) -> str:
    vectors = [price.vectors[name] for name in term.units]
    inside = {vector.field for vector in vectors if not vector.whole}
    words = []
    for vector in vectors:
        if not vector.whole:
            index = f"[{vector.index}]" if vector.block is None else ""
            words.append(f"{vector.field}{index}")
        elif vector.field not in inside:
            words.append(f"module of {vector.field}")
    rest = "once" if term.block is None else "block"
    return f"{term.part}: {' x '.join(sorted(words)) or rest}"


def described(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a line what structure.json records of a budget in milliseconds.

    Args:
        rows: {part, limit, dense, predicted, measured, where} for each target; what is
            not measured is None.
    """
    return "; ".join(
        f"{row['part']}: limit {row['limit']:.4g} ms, "
        f"predicted {row['predicted']:.4g}, "
        + (f"measured {row['measured']:.4g}" if row["measured"] else "not measured")
        + f", dense {row['dense']:.4g}{row.get('where', '')}"
        for row in rows
    )


def runtime_version(runtime: str = TORCH) -> str:
    """Return the version of what runs encoders here, "" if it is not installed."""
    try:
        module = importlib.import_module("torch" if runtime == TORCH else "onnxruntime")
    except ImportError:
        return ""
    return str(module.__version__)


def load_or_measure(
    model: Any,
    config: Mapping[str, Any],
    path: PathLike,
    threads: int = 1,
    seconds: float = SECONDS,
    budget: float = 90.0,
    runtime: str = TORCH,
    round_to: int = 1,
) -> LatencyTable:
    """Return the table of a file, which is made if it is not there.

    Args:
        model: A model of ESPnet, or an encoder; the dense one.
        config: Its config.yaml.
        path: The file.
        threads: Threads of the runtime.
        seconds: Length of the audio.
        budget: Seconds that the measurement may take.
        runtime: What runs the encoder, one of `RUNTIMES`.
        round_to: Units are selected in such multiples; a new table of onnxruntime is
            measured at them.

    Raises:
        UserError: The file is of something else; see `LatencyTable.check`.
    """
    from espnet_prune.families import stacks_of, unit_graph
    from espnet_prune.measure.latency_fit import measure_table
    from espnet_prune.measure.latency_onnx import measure_pieces

    encoder = model.get_submodule(stacks_of(model)[WHOLE][0])
    frames = frames_of(config, seconds)
    if Path(path).is_file():
        table = LatencyTable.load(path)
        table.check(unit_graph(encoder).dense, frames, threads, str(path), runtime)
        return table
    own: Dict[str, Any] = dict(threads=threads, budget=budget)
    own.update(ctc=getattr(model, "ctc", None))
    if runtime == TORCH:
        table = measure_table(encoder, frames, seconds, **own)
    else:
        own.update(round_to=round_to)
        table = measure_pieces(encoder, frames, seconds, runtime, **own)
    table.save(path)
    return table
