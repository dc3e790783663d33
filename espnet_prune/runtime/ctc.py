# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""CTC without a search: the likeliest path."""

import numpy as np

from .hypothesis import Hypothesis


def ctc_greedy(log_probs: np.ndarray, blank: int = 0, before: int = -1) -> Hypothesis:
    """Take the likeliest token of each frame, repetitions as one, without blanks.

    Args:
        log_probs: (T, V).
        blank: Token id.
        before: Likeliest token of the frame before, which may go on; -1 for none.

    Returns:
        Tokens, the log-probability of the path, and the frame of each token's begin.
    """
    path = log_probs.argmax(axis=1)
    begins = np.flatnonzero(np.diff(path, prepend=before))
    begins = begins[path[begins] != blank]
    score = log_probs.max(axis=1).sum(dtype=np.float64)
    return Hypothesis(path[begins].tolist(), float(score), begins.tolist())
