# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Bootstrap intervals of error rates (Bisani and Ney, 2004)."""

from typing import Any, Dict, Hashable, Iterable, Optional, Sequence, Tuple

import numpy as np

CELLS = 4_000_000  # resampling weights held at a time
ENDS = (2.5, 97.5)  # of an interval, in percent of the resamplings
FEW = 30  # with fewer clusters intervals are too narrow (Cameron et al., 2008)


def speakers_of(speakers: Sequence[str]) -> Optional[Sequence[str]]:
    """Return what is to be drawn together, given the speaker of each utterance.

    Returns:
        The speakers, or None if there is only one, or each has one utterance.
    """
    return speakers if 1 < len(set(speakers)) < len(speakers) else None


def drawn(groups: Optional[Sequence[Hashable]], utterances: int) -> str:
    """Say what an interval was drawn from, as "8 speakers"."""
    if groups is None:
        return f"{utterances} utterances"
    return f"{len(set(groups))} speakers"


def few(texts: Iterable[str]) -> str:
    """Return a sentence about texts of `drawn`, or "" where nothing has to be said."""
    texts = list(texts)
    number = min((int(t.split()[0]) for t in texts if "speakers" in t), default=FEW)
    if number < FEW:
        return (
            f"An interval from {number} speakers is itself uncertain, and rather too "
            "narrow."
        )
    if any("utterances" in t for t in texts):
        return (
            "An interval drawn by utterance says nothing about other speakers, and is "
            "too narrow where a few speak much."
        )
    return ""


def _grouped(values: Sequence[int], groups: Optional[Sequence[Hashable]]) -> np.ndarray:
    """Sum values of the same group; without groups each is its own."""
    if groups is None:
        return np.asarray(values, dtype=np.float64)
    index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return np.bincount([index[g] for g in groups], weights=values)


def _rates(tops: Sequence[np.ndarray], bottom: np.ndarray, samples: int) -> np.ndarray:
    """Resampled rates in percent (len(tops), samples), the same draws for all tops."""
    rng, size, blocks = np.random.default_rng(0), len(bottom), []
    step = max(1, CELLS // max(size, 1))
    for start in range(0, samples, step):
        n = min(step, samples - start)
        # how often each unit is drawn
        weights = rng.multinomial(size, np.full(size, 1.0 / size), size=n)
        below = np.maximum(weights @ bottom, 1.0)
        blocks.append(np.stack([100.0 * (weights @ top) / below for top in tops]))
    return np.concatenate(blocks, axis=1)


def interval(
    errors: Sequence[int],
    words: Sequence[int],
    groups: Optional[Sequence[Hashable]] = None,
    samples: int = 10000,
) -> Tuple[float, float]:
    """Interval of an error rate that covers 95 %, in percent.

    Args:
        errors: Errors of each utterance.
        words: Reference tokens of each utterance.
        groups: What is drawn together, for example the speakers; by default each
            utterance is drawn by itself.
        samples: Number of resamplings.

    Returns:
        The lower and the upper end.
    """
    top, bottom = _grouped(errors, groups), _grouped(words, groups)
    low, high = np.percentile(_rates([top], bottom, samples)[0], ENDS)
    return float(low), float(high)


def paired(
    errors: Sequence[int],
    others: Sequence[int],
    words: Sequence[int],
    groups: Optional[Sequence[Hashable]] = None,
    samples: int = 10000,
) -> Dict[str, Any]:
    """Compare two systems on the same utterances.

    Args:
        errors: Errors of this system on each utterance.
        others: Errors of the other system on each utterance.
        words: Reference tokens of each utterance.
        groups: As in `interval`.
        samples: Number of resamplings.

    Returns:
        `difference` (this minus the other, in percentage points), its `interval`, and
        `better`, the share of the resamplings in which this system has fewer errors
        (equal ones count half).
    """
    a, b = _grouped(errors, groups), _grouped(others, groups)
    bottom = _grouped(words, groups)
    rates = _rates([a, b], bottom, samples)
    difference = rates[0] - rates[1]
    better = np.mean(difference < 0) + 0.5 * np.mean(difference == 0)
    return {
        "difference": float(100.0 * (a.sum() - b.sum()) / max(bottom.sum(), 1.0)),
        "interval": np.percentile(difference, ENDS).tolist(),
        "better": float(better),
    }
