# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A table of latencies in onnxruntime, from small encoders that are written once.

A whole encoder takes seconds to be written as ONNX, and int8 as long again. So pieces
of it are timed, see `measure.latency_pieces`, and rows are fitted to them. That can be
where only onnxruntime is: they are files, and `runtime.measure` needs no torch.
"""

import logging
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
from torch import nn

from espnet_prune import runtime as standalone
from espnet_prune.families import unit_graph
from espnet_prune.measure.cost import WHOLE, cost
from espnet_prune.measure.latency import input_of
from espnet_prune.measure.latency_fit import at_widths, fit, shrunk
from espnet_prune.measure.latency_pieces import DENSE, conditioned, pieces_of
from espnet_prune.measure.latency_table import INT8, LatencyTable, amounts_of
from espnet_prune.progress import progress
from espnet_prune.runtime.measure import FORMAT, PIECES, measure, read_pieces
from espnet_prune.structure import Structure
from espnet_prune.utils import PathLike, UserError, write_json

CALIBRATION = 160  # input frames, for ranges of int8 that change no time
RUNS = 5  # at least, of the dense encoder in each pass: all rows are scaled to it
# what a table says as the pieces do
SAME = (
    *("device", "runtime", "version", "threads", "seconds", "frames", "date"),
    *("params", "macs", "round_to"),
)

_LAUNCH = """\
import sys
from pathlib import Path

from runtime.measure import main

sys.exit(main(Path(__file__).resolve().parent))
"""


def measure_pieces(
    encoder: nn.Module,
    frames: int,
    seconds: float,
    runtime: str,
    threads: int = 1,
    budget: float = 90.0,
    seed: int = 0,
    ctc: Any = None,
    round_to: int = 1,
) -> LatencyTable:
    """Measure what the units of an encoder take in onnxruntime here.

    Args:
        encoder: The dense encoder; it is left as it is.
        frames: Length of the utterance in input frames.
        seconds: The same in seconds, as the table says it.
        runtime: "onnx" or "onnx_int8".
        threads: Threads that onnxruntime may use.
        budget: Seconds that it takes, about; of a large encoder it is more.
        seed: Seed of the pieces.
        ctc: CTC of the model, for self-conditioned intermediate CTC.
        round_to: The table is for encoders with multiples of so many units, which
            convolutions of onnxruntime prefer.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        export_pieces(encoder, folder, frames, seconds, runtime, seed, ctc, round_to)
        budget = max(budget / 3, budget - (time.monotonic() - begun))
        bar = progress(100, "latency", "percent")
        found = measure(
            folder, threads, budget, lambda done: bar.update(int(100 * done) - bar.n)
        )
        bar.close()
    return table_of_pieces(unit_graph(encoder).dense, found)


def export_pieces(
    encoder: nn.Module,
    folder: PathLike,
    frames: int,
    seconds: float,
    runtime: str,
    seed: int = 0,
    ctc: Any = None,
    round_to: int = 1,
) -> None:
    """Write pieces of an encoder, and what times them without torch.

    Args:
        encoder: The dense encoder; it is left as it is.
        folder: Where everything goes.
        frames: Length of the utterance in input frames.
        seconds: The same in seconds.
        runtime: "onnx" or "onnx_int8".
        seed: Seed of the pieces.
        ctc: CTC of the model, for self-conditioned intermediate CTC.
        round_to: See `measure_pieces`.

    Raises:
        UserError: The encoder cannot be exported.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dense = unit_graph(encoder).dense
    drawn = pieces_of(encoder, dense, random.Random(seed), round_to)
    pieces: Dict[str, Dict[str, Any]] = {}
    for name, structure in progressed(drawn):
        file = f"{name}.onnx"
        small = shrunk(encoder, structure)
        export(small, folder / file, runtime, ctc)
        pieces[name] = {"file": file, "widths": structure[WHOLE].widths()}
    pieces[DENSE]["runs"] = RUNS
    price = cost(dense, frames, WHOLE)
    found = {
        "format": FORMAT,
        "runtime": runtime,
        "seconds": seconds,
        "frames": frames,
        "params": price.params,
        "macs": price.macs,
        "round_to": round_to,
        "shape": shape_of(encoder, frames),
        "pieces": pieces,
    }
    write_json(found, folder / PIECES)
    own = Path(standalone.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(own, folder / own.name, ignore=ignore, dirs_exist_ok=True)
    (folder / "measure.py").write_text(_LAUNCH, encoding="utf-8")


def progressed(drawn: Mapping[str, Structure]) -> Any:
    """Return (name, structure) one by one, and tell how far it is."""
    bar = progress(len(drawn), "writing ONNX", "pieces")
    for pair in drawn.items():
        yield pair
        bar.update(1)
    bar.close()


def shape_of(encoder: nn.Module, frames: int) -> List[int]:
    """Return the shape of an input, (1, frames, features) or (1, samples)."""
    inputs = input_of(unit_graph(encoder))
    samples = inputs["frame_samples"]
    return [1, frames * samples, *([] if samples > 1 else [inputs["input_size"]])]


def export(encoder: nn.Module, path: Path, runtime: str, ctc: Any = None) -> None:
    """Write an encoder as ONNX, from features or raw speech to its output.

    Args:
        encoder: The encoder.
        path: The file.
        runtime: "onnx" or "onnx_int8".
        ctc: CTC of the model, which is written where blocks are conditioned on it.
    """
    from espnet_prune.deploy.onnx.export import export_encoder

    own = ctc if conditioned(encoder) else None
    written = export_encoder(encoder, path, own, hidden=True)
    if runtime == INT8:
        from espnet_prune.deploy.int8.quantize import quantise

        shape = shape_of(encoder, CALIBRATION)
        noise = np.random.RandomState(0).randn(*shape).astype("float32")
        name = "speech" if written.speech else "feats"
        feeds = [{name: noise, "lengths": np.array([shape[1]], dtype="int64")}]
        quantise(path, path, feeds)


def read_measured(path: PathLike, dense: Structure) -> LatencyTable:
    """Return the table of what was measured elsewhere.

    Args:
        path: `measured.json`.
        dense: Structure of the dense encoder.

    Raises:
        UserError: It is missing, damaged, or of another encoder.
    """
    found = read_pieces(path)
    missing = {*SAME, "pieces", "times"} - set(found)
    if missing or set(found["times"]) != set(found["pieces"]):
        raise UserError(
            f"{path}: times of pieces are missing; run measure.py of the folder that "
            "espnet-prune latency --export has written"
        )
    try:
        return table_of_pieces(dense, found)
    except (UserError, LookupError, TypeError) as error:
        raise UserError(
            f"{path}: measured on pieces of another encoder ({error}); give the one "
            "whose pieces were exported"
        ) from error


def table_of_pieces(dense: Structure, measured: Mapping[str, Any]) -> LatencyTable:
    """Return the table that the times of pieces make.

    Args:
        dense: Structure of the dense encoder.
        measured: What `espnet_prune.runtime.measure` has found.

    Raises:
        UserError: They are pieces of another encoder.
    """
    points: Dict[str, Tuple[Dict[str, int], float]] = {}
    for name, ms in measured["times"].items():
        widths = measured["pieces"][name]["widths"]
        points[name] = (amounts_of(at_widths(dense, widths)[WHOLE]), ms)
    whole, dense_ms = points.pop(DENSE)
    rows = fit(list(points.values()))

    def predicted(amounts: Dict[str, int]) -> float:
        return sum(rows[name] * number for name, number in amounts.items())

    off = [abs(predicted(amounts) / ms - 1) for amounts, ms in points.values()]
    error = float(np.mean(off))
    # what a whole encoder takes beyond its pieces, as it does not fit a cache
    scale = dense_ms / predicted(whole)
    rows = {name: scale * ms for name, ms in rows.items()}
    logging.info(
        f"latencies of {len(points)} pieces, mean error {error:.1%}; the dense encoder "
        f"takes {scale:.3f} of their sum"
    )
    return LatencyTable(
        **{key: measured[key] for key in SAME},
        dense_ms=dense_ms,
        structures=len(measured["times"]),
        error=error,
        rows=rows,
    )
