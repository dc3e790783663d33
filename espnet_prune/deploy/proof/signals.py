# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is heard in a proof: signals as hard as speech, made here.

They have pauses, pitch and noise, so that no output is flat, and need no data.
"""

from typing import Any, Dict, List, Mapping, NamedTuple

import numpy as np

from espnet_prune.measure.duration import frames_of, rate_of

LENGTHS = (1, 5, 20, 35)  # seconds
OFFSET = 0.1  # of full scale; with features, of their own unit


class Case(NamedTuple):
    """One run of a model.

    Attributes:
        name: What it is, in words.
        rows: Utterances (samples,) or (frames, features) of different lengths; several
            make a padded batch.
    """

    name: str
    rows: List[np.ndarray]


class Signals:
    """Inputs of a model, of any length.

    Args:
        config: Content of its config.yaml.
        package: Content of its config.json.
    """

    def __init__(self, config: Mapping[str, Any], package: Mapping[str, Any]) -> None:
        self.features = package.get("feature_size")
        self.rate = package.get("sample_rate") or rate_of(config)
        self.shortest = int(package["min_samples"])
        self.config = config

    def size(self, seconds: float) -> int:
        """Return how many samples or frames some seconds are."""
        if self.features:
            return max(self.shortest, frames_of(self.config, seconds))
        return max(self.shortest, int(seconds * self.rate))

    def of(self, size: int, seed: int = 0) -> np.ndarray:
        """Return a signal of some samples or frames, the same for the same seed."""
        if self.features:
            draw = np.random.default_rng(seed)
            slow = np.repeat(draw.normal(size=(size // 8 + 1, self.features)), 8, 0)
            rows = slow[:size] + 0.5 * draw.normal(size=(size, self.features))
            return rows.astype(np.float32)
        return voice(size, self.rate, seed)

    def cases(self) -> List[Case]:
        """Return all that a model is tried on."""
        sizes = [(f"{n} s", self.size(n)) for n in LENGTHS]
        sizes.insert(0, ("the shortest", self.shortest))
        alone = [Case(name, [self.of(n, i)]) for i, (name, n) in enumerate(sizes)]
        speech = self.of(self.size(5), 7)
        quiet = 0.0 * speech
        stop = len(speech) // 2
        pause = np.concatenate([speech[:stop], quiet[stop:]])
        special = {
            "silence": [quiet],
            "silence after speech": [pause],
            "an offset": [speech + np.float32(OFFSET)],
        }
        batches = {
            "a batch of 5, 1 and 3.3 s": (5, 1, 3.3),
            "a batch of 2, 20 s and the shortest": (2, 20, 0),
        }
        for number, (name, seconds) in enumerate(batches.items()):
            rows = [
                self.of(self.size(s), 10 + number + i) for i, s in enumerate(seconds)
            ]
            special[name] = rows
        return alone + [Case(name, rows) for name, rows in special.items()]


def voice(size: int, rate: int, seed: int) -> np.ndarray:
    """Return a signal with harmonics, syllables and noise (size,) in [-1, 1]."""
    draw = np.random.default_rng(seed)
    time = np.arange(size) / rate
    points = np.arange(int(time[-1] * 8) + 2) / 8  # eight syllables in a second
    pitch = np.interp(time, points, draw.uniform(90, 260, len(points)))
    loud = np.interp(time, points, draw.choice([0.0, 0.3, 1.0], len(points)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros(size)
    for number in range(1, 13):
        strength = np.interp(time, points, draw.uniform(0, 1, len(points))) / number
        sound += strength * np.sin(number * phase)
    sound = 0.15 * loud * sound + 0.003 * draw.normal(size=size)
    return np.clip(sound, -1, 1).astype(np.float32)


def padded(rows: List[np.ndarray], seed: int = 0) -> Dict[str, np.ndarray]:
    """Return a batch with loud noise behind the shorter utterances.

    Returns:
        {"rows": (N, longest, ...), "lengths": (N,)}.
    """
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    shape = (len(rows), int(lengths.max()), *rows[0].shape[1:])
    batch = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
    return {"rows": batch, "lengths": lengths}
