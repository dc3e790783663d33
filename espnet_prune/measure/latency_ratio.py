# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What share of the dense encoder's time a smaller one takes, measured in turns."""

import collections
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from torch import nn

from espnet_prune.families import unit_graph
from espnet_prune.measure.cost import WHOLE
from espnet_prune.measure.latency import input_of, quiet, utterance
from espnet_prune.measure.latency_fit import at_widths, front_clock, shrunk, spent
from espnet_prune.measure.latency_onnx import export, shape_of
from espnet_prune.measure.latency_pieces import DENSE, least_blocks
from espnet_prune.measure.latency_table import TORCH
from espnet_prune.runtime.measure import call_of, milliseconds
from espnet_prune.structure import Structure
from espnet_prune.units.pricing import BLOCKS, FRONT
from espnet_prune.utils import PathLike

LEAST, MOST = 9, 61  # turns

Times = Dict[str, float]  # milliseconds by part


def shares_of_time(
    encoder: nn.Module,
    structure: Structure,
    frames: int,
    threads: int = 1,
    seconds: float = 15.0,
    ctc: Any = None,
    runtime: str = TORCH,
    folder: Optional[PathLike] = None,
) -> Dict[str, float]:
    """Measure what share of the time an encoder takes at another structure.

    Both run in turns; a share is the median over the turns, so that neither a slow
    second nor a drift of the machine decides.

    Args:
        encoder: The dense encoder, on the CPU; it is left as it is.
        structure: What is kept of it, or of a model that it is in.
        frames: Length of the utterance in input frames.
        threads: Threads of the runtime. The times of one are CPU times.
        seconds: After which no further turn begins.
        ctc: CTC of the model, for self-conditioned intermediate CTC.
        runtime: What runs them, "torch", "onnx" or "onnx_int8".
        folder: Where ONNX files of the dense encoder stay for the next call.

    Returns:
        Shares of the "encoder", of its "front" and of its "blocks", where it has both.
    """
    own = Structure({WHOLE: structure[WHOLE]})
    with contextlib.ExitStack() as stack:
        if runtime == TORCH:
            runs = _in_torch(encoder, own, frames, threads, ctc)
            stack.enter_context(quiet(threads))
        else:
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
            runs = _in_onnx(encoder, own, frames, threads, ctc, runtime, Path(folder))
        return shares_in_turns(runs, seconds)


def shares_in_turns(
    runs: Sequence[Callable[[], Times]], seconds: float
) -> Dict[str, float]:
    """Return the shares of time of the second of two, see `shares_of_time`.

    Args:
        runs: Each runs once, and returns the milliseconds of its parts.
        seconds: After which no further turn begins.
    """
    shares: Dict[str, List[float]] = collections.defaultdict(list)
    for run in [*runs, *runs]:
        run()
    begun, turn = time.monotonic(), 0
    while turn < LEAST or (turn < MOST and time.monotonic() - begun < seconds):
        times = {i: runs[i]() for i in ((0, 1) if turn % 2 else (1, 0))}
        for one in times.values():
            if FRONT in one:
                one[BLOCKS] = one[WHOLE] - one[FRONT]
        for part, full in times[0].items():
            shares[part].append(times[1][part] / full)
        turn += 1
    return {part: statistics.median(values) for part, values in shares.items()}


def _in_torch(
    encoder: nn.Module, structure: Structure, frames: int, threads: int, ctc: Any
) -> List[Callable[[], Times]]:
    """Return what runs the dense and the cut encoder once, with a clock in front."""
    inputs, clocked = input_of(unit_graph(encoder)), front_clock(encoder)

    def run(one: nn.Module) -> Callable[[], Times]:
        call = utterance(one, frames, **inputs, ctc=ctc)
        return lambda: spent(one, clocked, call, threads)

    return [run(encoder), run(shrunk(encoder, structure))]


def _in_onnx(
    encoder: nn.Module,
    structure: Structure,
    frames: int,
    threads: int,
    ctc: Any,
    runtime: str,
    folder: Path,
) -> List[Callable[[], Times]]:
    """Return the same in onnxruntime, where a front end runs once more on its own."""
    dense = unit_graph(encoder).dense

    def run(name: str, kept: Structure) -> Callable[[], Times]:
        pieces = {WHOLE: kept}
        if kept[WHOLE].front:
            widths = {**least_blocks(encoder, dense), **kept[WHOLE].front}
            pieces[FRONT] = at_widths(dense, widths)
        calls: Dict[str, Callable[[], Any]] = {}
        for part, piece in pieces.items():
            path = folder / f"{name}_{part}.onnx"
            if name != DENSE or not path.is_file():
                export(shrunk(encoder, piece), path, runtime, ctc)
            calls[part] = call_of(path, shape_of(encoder, frames), threads)
        return lambda: {part: milliseconds(c, threads) for part, c in calls.items()}

    return [run(DENSE, dense), run("cut", structure)]
