# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model beside the one of ESPnet that it was made of: size, time, memory.

One utterance is recognised by torch, ONNX fp32 and ONNX int8 in turns. Memory is that
of a process of its own, which recognises it once and does nothing else.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Sequence

import numpy as np
import torch

from espnet_prune.measure.latency import in_turns
from espnet_prune.measure.latency_table import INT8, ONNX, TORCH, device_name
from espnet_prune.measure.recognition import Recogniser, speech_of
from espnet_prune.models import read_model_config
from espnet_prune.runtime import Recognizer
from espnet_prune.runtime.package import Config
from espnet_prune.utils import PathLike, UserError, read_json

PROOF = "deploy.json"
ENCODER, CTC, WHOLE = "encoder", "ctc", "whole"  # what is timed
_PRECISIONS = {ONNX: "fp32", INT8: "int8"}

# run by a process of its own: what it loads, how it recognises; prints MB
_HEARD = """\
import resource, sys
import numpy
speech = numpy.load(sys.argv[1])
{load}
{hear}
try:
    lines = open("/proc/self/status").read().splitlines()
    kilobytes = next(int(l.split()[1]) for l in lines if l.startswith("VmHWM"))
except (OSError, StopIteration):
    unit = 1024 if sys.platform == "darwin" else 1
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
print("MB", kilobytes / 1024)
"""
_IN_TORCH = """\
import torch
torch.set_num_threads({threads})
from espnet_prune.measure.recognition import Recogniser
heard = Recogniser({config!r}, {model!r}, {options!r})"""
_IN_ONNX = """\
from espnet_prune.runtime import Recognizer
heard = Recognizer({folder!r}, precision={precision!r}, threads={threads})"""


class Model(NamedTuple):
    """A model of ESPnet, and the directory that was deployed of it.

    Attributes:
        config: config.yaml.
        checkpoint: Its checkpoint.
        folder: The directory.
    """

    config: str
    checkpoint: str
    folder: str


def deployed_model(folder: PathLike) -> Model:
    """Return a directory and the model that it was made of, as its proof records it.

    Raises:
        UserError: It has no proof, or the model is no longer there.
    """
    path = Path(folder) / PROOF
    source = read_json(path).get("source") or {}
    files = [str(source.get(key)) for key in ("config", "checkpoint")]
    for file in files:
        if not Path(file).is_file():
            raise UserError(
                f"{path}: the model that it was made of, {file}, is not there; deploy "
                "the model again from where it is now"
            )
    return Model(files[0], files[1], str(folder))


def measure_deployed(
    model: Model,
    threads: Sequence[int] = (1, 2),
    runs: int = 5,
    limit: float = 30.0,
    memory: bool = True,
) -> Dict[str, Any]:
    """Measure a model in torch and in onnxruntime, in turns.

    Args:
        model: The model.
        threads: Numbers of threads, one after the other. Times of one are CPU times.
        runs: How often at most.
        limit: Seconds of each number of threads after which no further turn begins.
        memory: Whether memory is measured, which takes a process for each row.

    Returns:
        {speech, seconds, decoding, device, runs, rows}. A row is {runtime, threads,
        bytes, encoder, ctc, whole, rtf, peak_mb}: milliseconds of front end, encoder
        and CTC; of a recognition by CTC greedy; and of one as configured. `rtf` is
        that of the latter. What a model does not have is None.

    Raises:
        UserError: A part is missing, or ESPnet cannot decode.
    """
    conf = read_model_config(model.config)
    speech, about = speech_of(conf)
    config = Recognizer(model.folder).config
    heard = Recogniser(model.config, model.checkpoint, _options(config))
    has_int8 = any("int8" in names for names in config.files.values())
    runtimes = [TORCH, ONNX, *([INT8] if has_int8 else [])]
    rate = config.sample_rate if config.input == "speech" else 100
    seconds, rows, done = len(speech) / rate, [], 0
    for count in threads:
        calls = {}
        for runtime in runtimes:
            if runtime == TORCH:
                own = _torch_calls(heard, speech)
            else:
                own = _onnx_calls(model.folder, runtime, count, config, speech)
            calls.update({f"{runtime} {what}": call for what, call in own.items()})
        found = in_turns(calls, runs, 1, count, limit, cpu=count == 1)
        done = len(next(iter(found.values())))
        for runtime in runtimes:
            row: Dict[str, Any] = {"runtime": runtime, "threads": count}
            row["bytes"] = _size(model, config, runtime)
            for what in (ENCODER, CTC, WHOLE):
                turns = found.get(f"{runtime} {what}")
                row[what] = min(ms for ms, _ in turns) if turns else None
            row["rtf"] = row[WHOLE] / 1000 / seconds
            options = _options(config)
            row["peak_mb"] = (
                _peak(model, runtime, count, speech, options) if memory else None
            )
            rows.append(row)
    return {
        "speech": about,
        "seconds": seconds,
        "decoding": config.decoder or "ctc",
        "options": _options(config),
        "device": device_name(),
        "runs": done,
        "rows": rows,
    }


def _options(config: Config) -> Dict[str, Any]:
    """Return how ESPnet is to search, as the directory does."""
    return dict(config.decoding) if config.decoder else {"beam_size": 1}


def _torch_calls(heard: Recogniser, speech: Any) -> Dict[str, Callable[[], Any]]:
    batch = torch.as_tensor(speech)[None].float()
    calls: Dict[str, Callable[[], Any]] = {}

    def encode() -> Any:
        hidden = heard.model.encode(batch, torch.tensor([batch.shape[1]]))[0]
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        ctc = getattr(heard.model, "ctc", None)
        return hidden if ctc is None else ctc.log_softmax(hidden)

    calls[ENCODER] = encode
    if getattr(heard.model, "ctc", None) is not None:
        calls[CTC] = functools.partial(heard.greedy, speech)
    has_decoder = getattr(heard.model, "decoder", None) is not None
    calls[WHOLE] = functools.partial(heard.beam, speech) if has_decoder else calls[CTC]
    return calls


def _onnx_calls(
    folder: str, runtime: str, threads: int, config: Config, speech: Any
) -> Dict[str, Callable[[], Any]]:
    own: Dict[str, Any] = dict(precision=_PRECISIONS[runtime], threads=threads)
    whole = Recognizer(folder, **own)
    inputs = {
        config.input: np.asarray(speech, np.float32)[None],
        "lengths": np.array([len(speech)], np.int64),
    }
    calls = {ENCODER: functools.partial(whole.session.run, None, inputs)}
    if config.ctc:
        greedy = Recognizer(folder, decoding="ctc_greedy", **own)
        calls[CTC] = functools.partial(greedy, speech)
    calls[WHOLE] = functools.partial(whole, speech)
    return calls


def _size(model: Model, config: Config, runtime: str) -> int:
    if runtime == TORCH:
        return Path(model.checkpoint).stat().st_size
    precision = _PRECISIONS[runtime]
    files = [
        names.get(precision, names["fp32"])
        for part, names in config.files.items()
        if part != "step"  # the same weights once more
    ]
    return sum((Path(model.folder) / file).stat().st_size for file in files)


def _peak(
    model: Model, runtime: str, threads: int, speech: Any, options: Mapping[str, Any]
) -> float:
    """Return the most memory, in MB, of a process that recognises speech once."""
    if runtime == TORCH:
        files = dict(config=model.config, model=model.checkpoint)
        load = _IN_TORCH.format(threads=threads, options=dict(options), **files)
        hear = "with torch.inference_mode():\n    heard.beam(speech)"
    else:
        own = dict(folder=model.folder, precision=_PRECISIONS[runtime])
        load, hear = _IN_ONNX.format(threads=threads, **own), "heard(speech)"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.npy"
        np.save(path, speech)
        script = _HEARD.format(load=load, hear=hear)
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True
        )
    if done.returncode:
        raise UserError(
            f"{model.folder}: a process that recognises by {runtime} failed: "
            f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        )
    return float(done.stdout.split("MB")[-1])
