# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Measures of similarity between the hidden states of layers, in float64.

Every measure takes states as (n, d): n samples of d dimensions, the same samples for
all. It is symmetric, between 0 and 1, 1 for a state with itself, and does not change
when a state is rotated or multiplied by a number.
"""

from typing import Any, Callable, Dict, Sequence

import numpy as np

from espnet_prune.utils import UserError, check_keys

# of fewer samples everything looks alike
MIN_SAMPLES = 4
# distances between all pairs of samples: time grows with the square
MAX_DC_SAMPLES = 5000
# numbers held at once while distances are computed, over all states
_BLOCK = 1 << 23

States = Sequence[np.ndarray]


def check_samples(measure: str, samples: int, dims: int) -> None:
    """Refuse a number of samples for which a measure says nothing.

    Args:
        measure: A key of `MEASURES`.
        samples: n.
        dims: d, the largest of all states.

    Raises:
        UserError: Unknown measure; too few samples; too many for "dc".
    """
    check_keys([measure], MEASURES, "measure")
    remedy = "use more utterances, or frames instead of utterance means (mode frame)"
    if measure == "svcca" and samples <= dims:
        raise UserError(
            f"SVCCA of {samples} samples says nothing of {dims} dimensions; it "
            f"needs more than {dims}, better {5 * dims} to {10 * dims}: {remedy}"
        )
    if samples < MIN_SAMPLES:
        raise UserError(
            f"{measure} needs {MIN_SAMPLES} samples or more and there are {samples}: "
            f"{remedy}"
        )
    if measure == "dc" and samples > MAX_DC_SAMPLES:
        raise UserError(
            f"dc compares all pairs of samples, and {samples} are too many; give "
            f"{MAX_DC_SAMPLES} or fewer (max_samples), or use dc2, svcca or cka"
        )


def similarity_matrix(
    states: States, measure: str = "svcca", **options: Any
) -> np.ndarray:
    """Compare every state with every other.

    Args:
        states: N+1 arrays (n, d): x_0, what enters block 1, then the output of each
            block. d may differ between them.
        measure: "svcca", "cka", "dc" or "dc2".
        options: Keyword arguments of the function of that name below.

    Returns:
        M (N+1, N+1) with M[a, b] how alike x_a and x_b are.

    Raises:
        UserError: Unknown measure or option; see also `check_samples`; a state that is
            not finite or has the same value at every sample.
    """
    check_keys([measure], MEASURES, "measure")
    function = MEASURES[measure]
    check_keys(options, function.__kwdefaults__ or (), f"measure {measure}")
    arrays = [np.asarray(x, dtype=np.float64) for x in states]
    if len({len(x) for x in arrays}) != 1 or any(x.ndim != 2 for x in arrays):
        raise ValueError("states must be arrays (n, d) of the same samples")
    check_samples(measure, len(arrays[0]), max(x.shape[1] for x in arrays))
    for number, x in enumerate(arrays):
        if not np.isfinite(x).all():
            raise UserError(
                f"the hidden states after block {number} have NaN or infinite values; "
                "check the model and the audio"
            )
        if (x == x[0]).all():
            raise UserError(
                f"the hidden states after block {number} are the same at every sample, "
                "so that nothing can be compared; check the model and the audio"
            )
    matrix = function(arrays, **options)
    return np.clip((matrix + matrix.T) / 2, 0.0, 1.0)


def _all_pairs(items: Sequence[Any], compare: Callable[[Any, Any], float]) -> Any:
    """Return the symmetric matrix of a comparison."""
    matrix = np.empty((len(items), len(items)))
    for a, first in enumerate(items):
        for b in range(a, len(items)):
            matrix[a, b] = matrix[b, a] = compare(first, items[b])
    return matrix


def _main_directions(x: np.ndarray, threshold: float) -> np.ndarray:
    """Return (n, k): the directions of the samples that hold most of a state."""
    left, values, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    # directions of mere rounding error would be compared as if they meant something
    rank = int((values > values[0] * max(x.shape) * np.finfo(float).eps).sum())
    held = np.cumsum(values)
    k = int(np.searchsorted(held, threshold * held[-1], side="right")) + 1
    return left[:, : min(k, rank)]


def svcca(states: States, *, threshold: float = 0.99) -> np.ndarray:
    """Singular vector canonical correlation analysis (Raghu et al. 2017).

    The states are centred and cut to the smallest number of singular directions whose
    singular values (not their squares) sum up to more than `threshold` of all; 1 keeps
    every direction: canonical correlation analysis. The score is the mean canonical
    correlation of what remains, which is the mean of the singular values of the product
    of both sets of directions.

    Raises:
        UserError: `threshold` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it must be in (0, 1]")
    kept = [_main_directions(x, threshold) for x in states]
    return _all_pairs(
        kept, lambda a, b: float(np.linalg.svd(a.T @ b, compute_uv=False).mean())
    )


def cka(states: States) -> np.ndarray:
    """Linear centred kernel alignment (Kornblith et al. 2019).

    Large principal components dominate it, and with n below d it is biased upward.
    """
    # a unit norm of the covariance keeps the products within range
    centred = []
    for x in states:
        y = x - x.mean(0)
        y /= np.abs(y).max()
        centred.append(y / np.sqrt(np.linalg.norm(y.T @ y)))
    return _all_pairs(centred, lambda a, b: float(((a.T @ b) ** 2).sum()))


def _unit_rows(x: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(norms, np.finfo(float).tiny)


def _distances(x: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return (stop - start, n): Euclidean distances of some samples to all."""
    squares = (x**2).sum(1)
    found = squares[start:stop, None] + squares - 2.0 * (x[start:stop] @ x.T)
    np.maximum(found, 0.0, out=found)
    rows = np.arange(start, stop)
    found[rows - start, rows] = 0.0
    return np.sqrt(found, out=found)


def _distance_correlations(states: States) -> np.ndarray:
    """Return the squared distance correlations (N+1, N+1), over all samples.

    The mean product of two double-centred distance matrices, written out in means of
    the plain ones, so that no more than a few rows of each are held at once.
    """
    n, number = len(states[0]), len(states)
    centred = [x - x.mean(0) for x in states]  # changes no distance, but rounding
    rows = max(1, _BLOCK // (number * n))
    means, products = np.empty((number, n)), np.zeros((number, number))
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        block = np.stack([_distances(x, start, stop) for x in centred])
        means[:, start:stop] = block.mean(2)
        flat = block.reshape(number, -1)
        products += flat @ flat.T
    total = means.mean(1)
    covariances = products / n**2 - 2.0 / n * (means @ means.T)
    covariances = np.maximum(covariances + np.outer(total, total), 0.0)
    scale = np.sqrt(np.diag(covariances))
    if not scale.all():
        raise UserError(
            "the samples of a state differ in length only; use cka or svcca"
        )
    return covariances / np.outer(scale, scale)


def dc(states: States, *, normalize: bool = True) -> np.ndarray:
    """Distance correlation over all samples (Szekely et al. 2007).

    With `normalize` every sample has unit length first.
    """
    if normalize:
        states = [_unit_rows(x) for x in states]
    return np.sqrt(_distance_correlations(states))


def dc2(states: States, *, batch_size: int = 32, iterations: int = 10) -> np.ndarray:
    """Squared distance correlation, a mean over batches of samples of unit length.

    The form of the public code of CoMFLP (Liu et al. 2023), which takes no square
    root. It is biased upward for small batches, so only matrices of one batch size can
    be compared. The code's small constants under its roots, a guard for float32, are
    left out: they would keep the similarity of a state with itself below 1. What
    remains after the batches is not used.

    Raises:
        UserError: There are fewer than `batch_size * iterations` samples.
    """
    if batch_size < MIN_SAMPLES or iterations < 1:
        raise UserError(
            f"dc2 needs a batch_size of {MIN_SAMPLES} or more and 1 iteration or more"
        )
    needed = batch_size * iterations
    if len(states[0]) < needed:
        raise UserError(
            f"dc2 takes {iterations} batches of {batch_size} and there are "
            f"{len(states[0])} samples, not {needed}; give more utterances or fewer "
            "iterations"
        )
    normed = [_unit_rows(x[:needed]) for x in states]
    batches = range(0, needed, batch_size)
    every = [
        _distance_correlations([x[i : i + batch_size] for x in normed]) for i in batches
    ]
    return np.mean(every, axis=0)


MEASURES: Dict[str, Callable[..., np.ndarray]]
MEASURES = {"svcca": svcca, "cka": cka, "dc": dc, "dc2": dc2}
