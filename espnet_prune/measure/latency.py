# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Time of several models, measured side by side.

The models take turns, so that a change of the machine's speed during the measurement
meets all of them, and the fastest run of each is the least disturbed one.

While times are measured, memory that a model has freed stays with the process. By
default glibc gives large pieces back to the system and gets them again in every run,
which takes up to a quarter of the time of a large model, nothing of a small one, and
depends on what ran before.
"""

import contextlib
import ctypes
import functools
import statistics
import time
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

import torch
from torch import nn

from espnet_prune.units.graph import UnitGraph


class Latency(NamedTuple):
    """Encoder time of one model for one utterance.

    Attributes:
        min_ms: Fastest run, in milliseconds.
        median_ms: Median run, in milliseconds.
        runs: How many were measured.
    """

    min_ms: float
    median_ms: float
    runs: int


def input_of(graph: UnitGraph) -> Dict[str, int]:
    """Return the arguments of `measure_latency` that say what an encoder takes.

    Args:
        graph: Its units.
    """
    clock = graph.dense["encoder"].price.clock
    size = graph.places["encoder"].input_size
    return {"input_size": size, "frame_samples": clock.samples}


def measure_latency(
    encoders: Mapping[str, nn.Module],
    *,
    frames: Union[int, Mapping[str, int]] = 1000,
    input_size: int = 80,
    frame_samples: int = 1,
    runs: int = 15,
    warmup: int = 2,
    threads: int = 1,
    seed: int = 0,
) -> Dict[str, Latency]:
    """Measure encoders in turns on the CPU, one utterance at a time.

    Args:
        encoders: ESPnet encoders by name; they are put into eval mode.
        frames: Length of the utterance in feature frames, or one per encoder; see
            `frames_of` for those of 10 s.
        input_size: Feature dimension.
        frame_samples: Samples in a frame, for encoders of raw speech.
        runs: Measured runs of each encoder.
        warmup: Runs of each encoder before.
        threads: Threads that torch may use; the former number is set again after.
        seed: Seed of the random inputs (1, frames * frame_samples, input_size).

    Returns:
        The times by name, in the order given.

    Raises:
        ValueError: `runs` or `threads` is below 1.
    """
    calls = {}
    for name, encoder in encoders.items():
        length = frames if isinstance(frames, int) else frames[name]
        calls[name] = utterance(
            encoder,
            length,
            input_size=input_size,
            frame_samples=frame_samples,
            seed=seed,
        )
    found = in_turns(calls, runs, warmup, threads)
    times = {name: [ms for ms, _ in turns] for name, turns in found.items()}
    return {
        name: Latency(min(values), statistics.median(values), runs)
        for name, values in times.items()
    }


def utterance(
    encoder: nn.Module,
    frames: int,
    *,
    input_size: int = 80,
    frame_samples: int = 1,
    seed: int = 0,
    ctc: Any = None,
) -> Callable[[], Any]:
    """Return what runs an encoder, put into eval mode, on a random utterance.

    Args:
        encoder: The encoder.
        frames: Length of the utterance in feature frames.
        input_size: Feature dimension.
        frame_samples: Samples in a frame, for encoders of raw speech.
        seed: Seed of the input (1, frames * frame_samples, input_size).
        ctc: CTC of the model, where blocks are conditioned on it.
    """
    length = frames * frame_samples
    generator = torch.Generator().manual_seed(seed)
    feats = torch.randn(1, length, input_size, generator=generator)
    more = {"ctc": ctc} if getattr(encoder, "interctc_use_conditioning", False) else {}
    return functools.partial(encoder.eval(), feats, torch.tensor([length]), **more)


def in_turns(
    calls: Mapping[str, Callable[[], Any]],
    runs: int,
    warmup: int = 0,
    threads: int = 1,
    limit: Optional[float] = None,
    cpu: bool = False,
) -> Dict[str, List[Tuple[float, Any]]]:
    """Call functions in turns, in inference mode, and time them.

    Args:
        calls: The functions by name.
        runs: Timed calls of each.
        warmup: Calls of each before.
        threads: Threads that torch may use; the former number is set again after.
        limit: Seconds after which no further turn begins.
        cpu: Whether times are those of the processor, for which other work on the
            machine counts for little.

    Returns:
        Milliseconds and result of every call, by name in the order given.

    Raises:
        ValueError: `runs` or `threads` is below 1.
    """
    if runs < 1 or threads < 1:
        raise ValueError("runs and threads must be at least 1")
    found: Dict[str, List[Tuple[float, Any]]] = {name: [] for name in calls}
    begun, clock = time.perf_counter(), time.process_time if cpu else time.perf_counter
    with quiet(threads):
        for call in calls.values():
            for _ in range(warmup):
                call()
        order = list(calls)
        for turn in range(runs):
            if turn and limit and time.perf_counter() - begun > limit:
                break
            for name in order:
                start = clock()
                result = calls[name]()
                ms = 1000.0 * (clock() - start)
                found[name].append((ms, result))
            order.reverse()
    return found


@contextlib.contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Run on some threads, in inference mode, and keep memory; the threads are reset.

    Args:
        threads: Threads that torch may use.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    _keep_memory()
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


@functools.lru_cache(maxsize=None)
def _keep_memory() -> None:
    """Let glibc keep what is freed; elsewhere nothing is done."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: no piece is mapped on its own
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink


def as_json(latency: Latency, dense: Latency) -> Dict[str, Any]:
    """Return plain data, with the shares of the dense model."""
    return {
        **latency._asdict(),
        "min_ratio": latency.min_ms / dense.min_ms,
        "median_ratio": latency.median_ms / dense.median_ms,
    }
