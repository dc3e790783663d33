# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Measure a table of latencies on random structures of the very encoder.

Every structure runs as a whole, with clocks at its front end and at its modules, so
that caches are as they will be. Each clock gives points of its own: the time of a
module and how many units it has. The rest of the run goes to the modules and blocks
that are there. Rows are fitted to all points of a kind by non-negative least squares
that a few disturbed runs do not move. On one thread times are CPU times, so that other
work on the machine counts for little.
"""

import collections
import datetime
import logging
import random
import time
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from torch import nn

from espnet_prune.families import stacks_of, unit_graph
from espnet_prune.measure.cost import WHOLE, cost
from espnet_prune.measure.latency import input_of, quiet, utterance
from espnet_prune.measure.latency_table import (
    TORCH,
    LatencyTable,
    amount,
    device_name,
    named_terms,
    runtime_version,
)
from espnet_prune.progress import progress
from espnet_prune.structure import Structure
from espnet_prune.units import narrow, without_masks
from espnet_prune.units.pricing import FRONT

LEVELS = (0.1, 0.25, 0.5, 0.75, 1.0)  # about how much of a kind of units is kept
RUNS = 3  # of each structure, the fastest counts
LEAST, MOST = 12, 150  # structures
EVERY = 8  # so often it is the dense one

Point = Tuple[Dict[str, int], float]  # amounts by row, milliseconds


def measure_table(
    encoder: nn.Module,
    frames: int,
    seconds: float,
    threads: int = 1,
    budget: float = 90.0,
    seed: int = 0,
    ctc: Any = None,
) -> LatencyTable:
    """Measure what the units of an encoder take.

    Args:
        encoder: The dense encoder; it is left as it is.
        frames: Length of the utterance in input frames.
        seconds: The same in seconds, as the table says it.
        threads: Threads that torch may use.
        budget: Seconds after which no further structure is measured.
        seed: Seed of the structures.
        ctc: CTC of the model, for self-conditioned intermediate CTC.
    """
    rng, points = random.Random(seed), collections.defaultdict(list)
    graph, whole, totals = unit_graph(encoder), [], []
    dense, inputs, clocked = graph.dense, input_of(graph), _clocked(encoder)
    begun, done = time.monotonic(), 0
    bar = progress(round(budget), "latency", "seconds")
    while done < LEAST or (done < MOST and time.monotonic() - begun < budget):
        structure = dense if done % EVERY == 0 else draw(dense, rng)
        small = shrunk(encoder, structure)
        call = utterance(small, frames, **inputs, ctc=ctc)
        with quiet(threads):
            call()
            runs = [spent(small, clocked, call, threads) for _ in range(RUNS)]
        found = {key: min(run[key] for run in runs) for key in runs[0]}
        amounts = sort_out(structure, clocked, found)
        for kind, point in amounts:
            points[kind].append(point)
        totals.append((structure, found[WHOLE]))
        if structure is dense:
            whole.append(found[WHOLE])
        done += 1
        bar.update(min(round(time.monotonic() - begun), round(budget)) - bar.n)
    bar.close()
    rows = {name: 0.0 for name, _ in named_terms(dense[WHOLE])}
    for found in points.values():
        for name, ms in fit(found).items():
            rows[name] += ms
    price = cost(dense, frames, WHOLE)
    table = LatencyTable(
        device=device_name(),
        runtime=TORCH,
        version=runtime_version(TORCH),
        threads=threads,
        seconds=seconds,
        frames=frames,
        date=datetime.datetime.now().isoformat(timespec="seconds"),
        params=price.params,
        macs=price.macs,
        dense_ms=float(np.median(whole)),
        structures=done,
        error=0.0,
        rows=rows,
    )
    # the price stays that of the dense encoder, so that widths are all that is needed
    timed = table.timed(dense)
    errors = [
        abs(cost(timed.with_widths(s.widths()), frames, WHOLE).ms / ms - 1)
        for s, ms in totals
    ]
    table.error = float(np.mean(errors))
    logging.info(f"latencies of {done} structures, mean error {table.error:.1%}")
    return table


def draw(dense: Structure, rng: random.Random) -> Structure:
    """Draw a structure; the kinds of units differ in how much of them is kept."""
    stack, widths = dense[WHOLE], {}
    for field, counts in stack.fields():
        level, least = rng.choice(LEVELS), stack.least(field)
        widths[field] = [
            (
                0
                if not least and rng.random() < 0.15
                else min(n, max(1, round(n * level * rng.uniform(0.5, 1.5))))
            )
            for n in counts
        ]
    return at_widths(dense, widths)


def at_widths(dense: Structure, widths: Mapping[str, Any]) -> Structure:
    """Return an encoder at other widths, of units that need no name."""
    found = dense.with_widths({WHOLE: widths} if len(dense.own) > 1 else widths)
    found[WHOLE].names = {}
    return found


def shrunk(encoder: nn.Module, structure: Structure) -> nn.Module:
    """Return a copy of an encoder at another structure, whatever its weights."""
    small = without_masks(encoder).eval()
    graph = unit_graph(small)
    narrow(small, graph, graph.first(structure), structure)
    return small


def _clocked(encoder: nn.Module) -> Dict[str, List[str]]:
    """Return where clocks stand: paths by the module's unit, and of the front end."""
    units = [unit for unit in unit_graph(encoder) if unit.kind == "module"]
    return {**{unit.name: [unit.path] for unit in units}, **front_clock(encoder)}


def front_clock(encoder: nn.Module) -> Dict[str, List[str]]:
    """Return where the clock of the front end stands, as `spent` takes it."""
    family = stacks_of(encoder)[WHOLE][1]
    return {FRONT: list(family.parts(encoder).front_paths)}


def spent(
    encoder: nn.Module,
    clocked: Mapping[str, Sequence[str]],
    call: Callable[[], Any],
    threads: int = 1,
) -> Dict[str, float]:
    """Run an encoder once.

    Args:
        encoder: The encoder.
        clocked: Paths of modules by the name under which their times are added up.
        call: What runs it.
        threads: CPU time is taken of one thread, and the time by the clock of more.

    Returns:
        Milliseconds by name, and of all as "encoder"; a module that does not run has
        none.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    times: Dict[str, float] = {}
    hooks = []

    def begin(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            times[name] = times.get(name, 0.0) - clock()

        return hook

    def end(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            times[name] += clock()

        return hook

    for name, paths in clocked.items():
        for module in map(encoder.get_submodule, paths):
            hooks.append(module.register_forward_pre_hook(begin(name)))
            hooks.append(module.register_forward_hook(end(name)))
    try:
        start = clock()
        call()
        times[WHOLE] = clock() - start
    finally:
        for hook in hooks:
            hook.remove()
    return {name: 1000.0 * value for name, value in times.items()}


def sort_out(
    structure: Structure, clocked: Mapping[str, Any], times: Mapping[str, float]
) -> List[Tuple[str, Point]]:
    """Return what one run says: points by the kind of their clock.

    Args:
        structure: What ran.
        clocked: Names of the clocks: of modules, and "front".
        times: What `spent` returned.
    """
    stack = structure[WHOLE]
    amounts: Dict[str, Dict[str, int]] = collections.defaultdict(dict)
    for name, term in named_terms(stack):
        vectors = [stack.price.vectors[unit] for unit in term.units]
        modules = [u for u, v in zip(term.units, vectors) if v.whole and u in times]
        if term.part == FRONT:
            places = [FRONT]
        elif len(modules) == 1 and len(term.units) > 1:
            places = modules
        elif modules and len(term.units) == 1:
            places = [*modules, WHOLE]  # of its own, and its norm and residual
        else:
            places = [WHOLE]
        for place in places:
            own = amounts[place]
            own[name] = own.get(name, 0) + amount(stack, term)
    found, rest = [], times[WHOLE]
    for place, own in amounts.items():
        if place != WHOLE and place in times:
            rest -= times[place]
            vector = stack.price.vectors.get(place)
            kind = vector.field if vector else place
            if any(own.values()):
                found.append((kind, (own, times[place])))
    return [*found, (WHOLE, (amounts[WHOLE], max(rest, 1e-3)))]


def fit(points: Sequence[Point]) -> Dict[str, float]:
    """Fit milliseconds per row, none below 0, to points.

    Errors count as shares of the time; large ones, of disturbed runs, count less from
    round to round, as in least absolute deviations.

    Args:
        points: What ran and how long it took.
    """
    from scipy.optimize import nnls

    names = list(dict.fromkeys(name for amounts, _ in points for name in amounts))
    times = np.array([ms for _, ms in points])
    counts = np.array(
        [[amounts.get(name, 0) for name in names] for amounts, _ in points], float
    )
    shares = counts / times[:, None]
    scale = np.maximum(shares.max(axis=0), 1e-12)
    weights = np.ones(len(times))
    for _ in range(10):
        found, _ = nnls(shares / scale * weights[:, None], weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(shares / scale @ found - 1), 0.01))
    return dict(zip(names, (found / scale).tolist()))
