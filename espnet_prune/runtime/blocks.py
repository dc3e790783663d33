# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Speech that comes bit by bit, as step.onnx hears it: block by block."""

import dataclasses
from typing import Any, Dict, List, Mapping

import numpy as np

from .reader import read_as


@dataclasses.dataclass(frozen=True)
class Layout:
    """What frames and blocks read.

    Args:
        block: Frames of a block.
        hop: Frames from one block to the next.
        look_ahead: Frames of a block after those that it says.
        frame: Samples from one frame to the next; so are the rest (features where the
            model takes these).
        first: The first that frame 0 reads; those before 0 are mirrored, as many at
            the end.
        reads: How many a frame reads.
        shortest: How many an utterance of one frame has.
    """

    block: int
    hop: int
    look_ahead: int
    frame: int
    first: int
    reads: int
    shortest: int


class Steps:
    """Runs step.onnx, block by block, over one utterance after another.

    A block is run when there is a frame after it: only then it is not the last one.

    Args:
        session: Of step.onnx.
        layout: Content of `stream` in config.json.
        where: The file, for errors.

    Raises:
        UserError: A key of the layout is missing or of another type.
    """

    def __init__(self, session: Any, layout: Any, where: str = "config.json") -> None:
        self.layout = Layout(**read_as(Layout, layout, f"{where}: stream"))
        self.session = session
        inputs = {part.name: part.shape for part in session.get_inputs()}
        self.given = "speech" if "speech" in inputs else "feats"
        self.outputs = [part.name for part in session.get_outputs()]
        self.empty = {
            "frames": np.zeros((1, 0, inputs["frames"][2]), np.float32),
            "context": np.zeros(inputs["context"], np.float32),
            "blocks": np.zeros(1, np.int64),
        }
        self.reset()

    def reset(self) -> None:
        """Forget the utterance."""
        self.states: Dict[str, np.ndarray] = self.empty
        self.parts: List[np.ndarray] = []  # what came and is not yet read
        self.begin = self.total = 0  # sample with which it begins; samples that came
        self.blocks = 0

    def accept(self, samples: np.ndarray) -> List[np.ndarray]:
        """Take samples (S,) or features (T, C) that follow those before.

        Returns:
            Log-probabilities (T', V) of each block that is complete.
        """
        self.parts.append(samples)
        self.total += len(samples)
        found = []
        while self.total >= self._needed():
            found.append(self._run(self._end_of_block(), False))
        return found

    def finish(self) -> List[np.ndarray]:
        """End the utterance and forget it.

        Returns:
            Log-probabilities (T', V) of the blocks that were not complete; nothing if
            it has no frame.
        """
        lay = self.layout
        count = (self.total - lay.shortest) // lay.frame + 1
        if count < 1 or self.total <= -lay.first:
            self.reset()
            return []
        held = self._held()
        if lay.first < 0:
            self.parts = [held, held[-2 : lay.first - 2 : -1]]
        found = []
        while count > self._end_of_block():
            found.append(self._run(self._end_of_block(), False))
        found.append(self._run(count, True))
        self.reset()
        return found

    def _end_of_block(self) -> int:
        return self.blocks * self.layout.hop + self.layout.block

    def _needed(self) -> int:
        """Return how many samples there are where a frame follows the next block."""
        lay, end = self.layout, self._end_of_block()
        return max(
            lay.shortest + end * lay.frame,
            lay.first + (end - 1) * lay.frame + lay.reads,
            1 - lay.first,
        )

    def _held(self) -> np.ndarray:
        """Return what is not yet read, as one array that begins at `begin`."""
        held = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        if not self.blocks and self.begin == 0 and self.layout.first < 0:
            held = np.concatenate([held[-self.layout.first : 0 : -1], held])
            self.begin = self.layout.first
        self.parts = [held]
        return held

    def _run(self, end: int, last: bool) -> np.ndarray:
        """Run a block up to a frame; returns log-probabilities (T', V)."""
        lay, held = self.layout, self._held()
        done = self._end_of_block() - lay.hop if self.blocks else 0
        start = done * lay.frame + lay.first - self.begin
        stop = (end - 1) * lay.frame + lay.first + lay.reads - self.begin
        given = {self.given: held[None, start:stop], "last": np.array([int(last)])}
        found = self.session.run(self.outputs, {**given, **self.states})
        values = dict(zip(self.outputs, found))
        self.states = {name: values[f"new_{name}"] for name in self.states}
        self.blocks += 1
        keep = (end * lay.frame + lay.first) - self.begin
        self.parts, self.begin = [held[keep:]], self.begin + keep
        return values["log_probs"][0]


def log_probs(
    session: Any, layout: Mapping[str, int], row: np.ndarray, size: int = 4000
) -> np.ndarray:
    """Return what steps say of an utterance, given in chunks of one size.

    Args:
        session: Of step.onnx.
        layout: Content of `stream` in config.json.
        row: (S,) samples or (T, C) features.
        size: Of the chunks.

    Returns:
        (T', V).
    """
    steps, found = Steps(session, layout), []
    for begin in range(0, len(row), size):
        found += steps.accept(row[begin : begin + size])
    return np.concatenate(found + steps.finish())
