# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Where large_speech is said: rooms, and noise of several kinds."""

from typing import List

import numpy as np
from scipy.signal import fftconvolve, lfilter
from splits import SAMPLE_RATE

ROOMS = 0.5  # share of the utterances that are said in one
REVERBERATION = (0.15, 0.45)  # seconds until a room is 60 dB quieter
DIRECT = (3.0, 15.0)  # dB of what comes straight over what comes from the walls
BABBLE = 20.0  # seconds of people who talk at once
TALKERS = 5


def room(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let walls answer: the tail of a room is noise that decays exponentially.

    Args:
        speech: Samples (num_samples,).
        rng: Draws the room.

    Returns:
        Samples (num_samples,), as loud as before.
    """
    time, direct = rng.uniform(*REVERBERATION), rng.uniform(*DIRECT)
    at = np.arange(int(time * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.normal(size=len(at)) * 10 ** (-3 * at / time)
    tail[: int(rng.uniform(0.002, 0.01) * SAMPLE_RATE)] = 0  # the way to a wall
    tail *= 10 ** (-direct / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    heard = fftconvolve(speech, tail)[: len(speech)]
    return heard * level(speech) / level(heard)


def level(signal: np.ndarray) -> float:
    """The effective value of samples."""
    return float(np.sqrt(np.mean(signal**2)))


def hiss(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise between white and brownish: a one-pole low-pass of random strength."""
    return lfilter([1.0], [1.0, -rng.uniform(0.0, 0.95)], rng.normal(size=length))


def pink(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    return np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), length)


def piece(track: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a piece out of a track at random, which begins anew where it ends."""
    start = int(rng.integers(len(track)))
    return np.resize(np.roll(track, -start), length)


def noise(
    length: int, babble: List[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Draw noise.

    Args:
        length: Number of samples.
        babble: Tracks of people who talk at once; without any there is no such noise.
        rng: Draws its kind and itself.

    Returns:
        Samples (length,) with an effective value of 1.
    """
    kind = rng.integers(3 if babble else 2)
    if kind == 2:
        drawn = piece(babble[int(rng.integers(len(babble)))], length, rng)
    else:
        drawn = (hiss, pink)[kind](length, rng)
    return drawn / level(drawn)
