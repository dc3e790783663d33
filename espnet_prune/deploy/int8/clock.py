# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Times of ONNX files side by side."""

import time
from pathlib import Path
from typing import Dict, List, Mapping

from espnet_prune.deploy.int8.quantize import Inputs
from espnet_prune.runtime.session import open_session


def in_turns(
    files: Mapping[str, Path], inputs: Inputs, seconds: float, least: int = 5
) -> Dict[str, float]:
    """Return the milliseconds of files by name: the fastest run of each.

    The files take turns on one thread; it is the time of the processor that counts.

    Args:
        files: ONNX files by name.
        inputs: What they take.
        seconds: After which no further turn begins.
        least: Turns.
    """
    sessions = {name: open_session(path) for name, path in files.items()}
    found: Dict[str, List[float]] = {name: [] for name in files}
    for session in sessions.values():
        session.run(None, inputs)
    order, begun, turns = list(files), time.perf_counter(), 0
    while turns < least or time.perf_counter() - begun < seconds:
        for name in order:
            start = time.process_time()
            sessions[name].run(None, inputs)
            found[name].append(1000.0 * (time.process_time() - start))
        order.reverse()
        turns += 1
    return {name: min(times) for name, times in found.items()}
