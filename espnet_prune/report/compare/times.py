# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Times of a comparison's models in turns, on one thread, in torch and in onnxruntime.

An encoder takes the same time whatever its weights are: each structure is measured
once, so that a table does not show the noise of the clock as a difference. What a
search takes depends on the words: a structure's last row is heard, a recovered one.
"""

import datetime
import functools
import json
import logging
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence

from espnet_prune.progress import progress
from espnet_prune.report.compare import rows
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Point
from espnet_prune.report.results import Entry
from espnet_prune.utils import UserError, read_json, read_mapping, write_json

# of the encoder on an utterance of 10 s, and of whole recognitions of one of the corpus
ENCODER, ONNX, CTC, BEAM = "ms", "onnx_ms", "ctc_ms", "beam_ms"
SHAPES = ("encoder", "decoder", "joint_network", "frontend")


def shape_key(config: Mapping[str, Any]) -> str:
    """Return what of a config.yaml decides how long a model takes."""
    parts = {p: [config.get(p), config.get(f"{p}_conf")] for p in SHAPES}
    return json.dumps(parts, sort_keys=True, default=str)


def measure_times(
    entries: Mapping[str, Entry], options: Mapping[str, Any], runs: int
) -> Dict[str, Dict[str, float]]:
    """Measure models in turns.

    Args:
        entries: The models by name.
        options: Of the beam search.
        runs: How often each.

    Returns:
        Milliseconds of the processor by name and by what was timed, of the fastest run.
        A model without CTC has no `ctc_ms`.

    Raises:
        UserError: ESPnet decodes nothing with a model, or it cannot be exported.
    """
    from espnet_prune.families import whole_graph
    from espnet_prune.measure.duration import frames_of
    from espnet_prune.measure.latency import in_turns, input_of, utterance
    from espnet_prune.measure.latency_onnx import export, shape_of
    from espnet_prune.measure.recognition import Recogniser, speech_of
    from espnet_prune.runtime.measure import call_of

    first = read_mapping(next(iter(entries.values())).config)
    speech, about = speech_of(first)
    logging.info(f"times: {len(entries)} structures in turns; recognised: {about}")
    calls: Dict[str, Callable[[], Any]] = {}
    bar = progress(len(entries), "prepared", "models")
    with tempfile.TemporaryDirectory() as folder:
        for n, (name, entry) in enumerate(entries.items()):
            heard = Recogniser(entry.config, entry.model, options)
            encoder, ctc = heard.model.encoder, getattr(heard.model, "ctc", None)
            frames = frames_of(read_mapping(entry.config))
            inputs = input_of(whole_graph(heard.model))
            path = Path(folder) / f"{n}.onnx"
            export(encoder, path, "onnx", ctc)
            own = {
                ENCODER: utterance(encoder, frames, **inputs, ctc=ctc),
                ONNX: call_of(path, shape_of(encoder, frames), 1),
                BEAM: functools.partial(heard.beam, speech),
            }
            if ctc is not None:
                own[CTC] = functools.partial(heard.greedy, speech)
            calls.update({f"{what} {name}": call for what, call in own.items()})
            bar.update(1)
        bar.close()
        found = in_turns(calls, runs, warmup=1, cpu=True)
    times: Dict[str, Dict[str, float]] = {name: {} for name in entries}
    for key, turns in found.items():
        what, _, name = key.partition(" ")
        times[name][what] = min(ms for ms, _ in turns)
    return times


def write_times(c: Comparison, points: Sequence[Point]) -> List[str]:
    """Measure what is finished, of the first seed, and write it into the rows' JSON.

    `timed` says when; tables show times of one run only.

    Args:
        c: The comparison.
        points: Its points.

    Returns:
        Names of the rows that have times now.

    Raises:
        UserError: Nothing is finished; see `measure_times`.
    """
    groups: Dict[str, List[Point]] = {}
    seen = set()
    for point in points:
        own, key = rows.entry(c, point), (point.row.name, point.size)
        there = own.config.is_file() and own.model.is_file()
        if key not in seen and there and rows.path_of(c, point).is_file():
            seen.add(key)
            groups.setdefault(shape_key(read_mapping(own.config)), []).append(point)
    if not groups:
        raise UserError("--times: no row is finished; run the comparison first")
    entries = {own[-1].name: rows.entry(c, own[-1]) for own in groups.values()}
    found = measure_times(entries, read_mapping(c.inference_config), c.runs)
    now = datetime.datetime.now(datetime.timezone.utc)
    timed = {"timed": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    done = []
    for own in groups.values():
        for point in own:
            path = rows.path_of(c, point)
            write_json({**read_json(path), **timed, **found[own[-1].name]}, path)
            done.append(point.name)
    return done
