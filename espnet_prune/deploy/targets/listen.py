# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A runtime of others in a process of its own.

So it may end that process, as runtimes in C++ do over files that they cannot read, and
brings an onnxruntime of its own. What is imported here is imported there.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import List

import numpy as np

from espnet_prune.deploy.targets.target import Part, Slot


def heard(slot: Slot, folder: Path, part: Part, speech: List[np.ndarray]) -> List[str]:
    """Return texts by the real package.

    Args:
        slot: The way into it.
        folder: What that has written.
        part: Which of its models.
        speech: Samples (S,) of each utterance.

    Raises:
        BrokenProcessPool: It has ended the process.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_texts, slot, folder, part, speech).result()


def _texts(slot: Slot, folder: Path, part: Part, speech: List[np.ndarray]) -> List[str]:
    listen = slot.open_part(folder, part)
    try:
        return [listen(samples) for samples in speech]
    finally:
        getattr(listen, "close", lambda: None)()
