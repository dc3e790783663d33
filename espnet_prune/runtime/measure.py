# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Time the pieces of an encoder on this device, with numpy and onnxruntime alone.

`espnet-prune latency --export DIR` has written the pieces into this folder. Bring the
file that is written here back, for `espnet-prune latency --measured FILE`.
"""

import argparse
import datetime
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from .errors import UserError, sentence_of
from .files import PathLike, atomic_write, read_json
from .session import open_session

PIECES, MEASURED = "pieces.json", "measured.json"
FORMAT = 1  # of both files
PASSES, LEAST = 3, 2  # over all pieces; runs of a piece in one


def device_name() -> str:
    """Return the name of this machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def read_pieces(path: PathLike) -> Dict[str, Any]:
    """Read `pieces.json` or `measured.json`.

    Raises:
        UserError: It is missing, or something else.
    """
    found = read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UserError(
            f"{path}: not what espnet-prune latency --export of this version writes; "
            "export the pieces again"
        )
    return found


def call_of(path: Path, shape: List[int], threads: int) -> Callable[[], Any]:
    """Return what runs an encoder once, on noise.

    Args:
        path: Its ONNX file.
        shape: Of the input, (1, frames, features) or (1, samples).
        threads: Of one run.
    """
    import numpy

    session = open_session(path, threads)
    noise = numpy.random.RandomState(0).randn(*shape).astype("float32")
    lengths = numpy.array([shape[1]], dtype="int64")
    name = next(i.name for i in session.get_inputs() if i.name != "lengths")
    return lambda: session.run(None, {name: noise, "lengths": lengths})


def milliseconds(call: Callable[[], Any], threads: int) -> float:
    """Return what a call takes: on one thread its CPU time."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    start = clock()
    call()
    return 1000.0 * (clock() - start)


def measure(
    folder: PathLike,
    threads: int = 1,
    seconds: float = 60.0,
    tell: Callable[[float], Any] = lambda done: None,
) -> Dict[str, Any]:
    """Time all pieces, some runs of each in several passes over all.

    A slow second of the machine so meets one pass of some pieces, and the fastest run
    of each counts. One piece is in memory at a time.

    Args:
        folder: Where `pieces.json` is.
        threads: Threads that onnxruntime uses. The time of one is its CPU time.
        seconds: What it should take, about; the passes are made in any case.
        tell: Is told the share that is done.

    Returns:
        What `pieces.json` says, with device, version, threads, date and milliseconds
        by the name of the piece.

    Raises:
        UserError: Pieces are missing, or this onnxruntime cannot run them.
    """
    import onnxruntime

    found = read_pieces(Path(folder) / PIECES)
    pieces: Mapping[str, Any] = found["pieces"]
    times: Dict[str, float] = {}
    begun, done, total = time.monotonic(), 0, PASSES * len(pieces)
    for _ in range(PASSES):
        for name, piece in pieces.items():
            call = call_of(Path(folder) / piece["file"], found["shape"], threads)
            call()
            # what is left is shared by the pieces that are still to come
            now, runs = time.monotonic(), 0
            end = now + max(0.0, begun + seconds - now) / (total - done)
            while runs < piece.get("runs", LEAST) or time.monotonic() < end:
                taken = milliseconds(call, threads)
                times[name] = min(taken, times.get(name, taken))
                runs += 1
            done += 1
            tell(done / total)
    date = datetime.datetime.now().isoformat(timespec="seconds")
    return {
        **found,
        "device": device_name(),
        "version": onnxruntime.__version__,
        "threads": threads,
        "date": date,
        "times": times,
    }


def main(folder: PathLike, words: Optional[List[str]] = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of one run")
    parser.add_argument("--max_seconds", type=float, default=60.0, help="about")
    parser.add_argument("--output", help=f"by default {MEASURED} beside the pieces")
    args = parser.parse_args(words)
    try:
        if args.threads < 1:
            raise UserError("--threads must be at least 1")
        found = measure(folder, args.threads, args.max_seconds, _tell)
        path = Path(args.output or Path(folder) / MEASURED)
        with atomic_write(path) as stream:
            json.dump(found, stream, indent=1)
        print(f"\n{path}: bring it back, for espnet-prune latency --measured")
    except (UserError, OSError) as error:
        text = sentence_of(error)
        if text is None:
            raise
        print(f"\nerror: {text}", file=sys.stderr)
        return 2
    return 0


def _tell(done: float) -> None:
    print(f"\r{done:4.0%} measured", end="", file=sys.stderr, flush=True)
