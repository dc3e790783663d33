# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Times of ONNX files side by side."""

import time
from functools import partial
from pathlib import Path
from typing import Dict, List, Mapping

from espnet_prune.deploy.int8.quantize import Inputs
from espnet_prune.runtime.measure import milliseconds
from espnet_prune.runtime.session import open_session


def in_turns(
    files: Mapping[str, Path], inputs: Inputs, seconds: float, least: int = 5
) -> Dict[str, float]:
    """Return the milliseconds of files by name: what a quarter of the runs fall below.

    The files take turns on one thread; it is the time of the processor that counts.
    The fastest run would hang on one reading of a clock that can stand still.

    Args:
        files: ONNX files by name.
        inputs: What they take.
        seconds: After which no further turn begins.
        least: Turns.
    """
    sessions = {name: open_session(path) for name, path in files.items()}
    calls = {n: partial(own.run, None, inputs) for n, own in sessions.items()}
    found: Dict[str, List[float]] = {name: [] for name in files}
    for call in calls.values():
        call()
    order, begun, turns = list(files), time.perf_counter(), 0
    while turns < least or time.perf_counter() - begun < seconds:
        for name in order:
            found[name].append(milliseconds(calls[name], 1))
        order.reverse()
        turns += 1
    return {name: sorted(times)[len(times) // 4] for name, times in found.items()}
