# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a proof says besides: sizes, hashes, times, and what it was made with."""

import platform
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np
import torch

from espnet_prune.deploy.proof.parts import run
from espnet_prune.deploy.proof.reference import Reference
from espnet_prune.measure.latency import in_turns
from espnet_prune.report.decoding import releases
from espnet_prune.runtime.package import inner_folders
from espnet_prune.runtime.session import open_session

RUNS, LIMIT = 5, 20.0  # of the times; seconds
PROOF = "deploy.json"


def files_of(folder: Path) -> List[str]:
    """Return the files of a deployed directory but the proof, sorted.

    Sizes and depths, which have a proof of their own, and what Python has compiled, are
    left out.
    """
    found, inner = [], inner_folders(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in inner:
            continue
        hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
        if path.is_file() and not hidden and name != Path(PROOF):
            found.append(name.as_posix())
    return found


def times(
    reference: Reference, files: Mapping[str, Path], row: np.ndarray
) -> Dict[str, float]:
    """Time the encoder in turns on one thread.

    Args:
        reference: The model in ESPnet.
        files: model.onnx by precision.
        row: What is heard, of 10 s.

    Returns:
        Milliseconds by "torch" and by precision; the fastest of some runs.
    """
    calls: Dict[str, Any] = {"torch": lambda: reference.heard(row)}
    for precision, path in files.items():
        session = open_session(path, 1)
        calls[precision] = lambda session=session: run(session, [row])
    found = in_turns(calls, RUNS, 1, limit=LIMIT)
    return {name: round(min(ms for ms, _ in turns), 2) for name, turns in found.items()}


def versions() -> Dict[str, str]:
    """Return the versions of what has exported and run the files."""
    import onnx
    import onnxruntime

    return {
        **releases(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }
