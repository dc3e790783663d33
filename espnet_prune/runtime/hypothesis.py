# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a search finds, and what all searches share."""

from typing import List, NamedTuple, Optional

import numpy as np


class Hypothesis(NamedTuple):
    """One result of a search.

    Args:
        tokens: Token ids, without blank, sos and eos.
        score: Logarithm of its probability, with the weights of the search.
        times: Frame of the encoder's output at which each token begins, where the
            search knows it.
    """

    tokens: List[int]
    score: float
    times: Optional[List[int]] = None


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the largest values, the largest first.

    Args:
        scores: (..., N).
        count: How many, at most N.

    Returns:
        (..., count).
    """
    order = np.argpartition(-scores, count - 1, axis=-1)[..., :count]
    taken = np.take_along_axis(-scores, order, axis=-1)
    return np.take_along_axis(order, np.argsort(taken, axis=-1, kind="stable"), axis=-1)
