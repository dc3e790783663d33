# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""CTC's probability that what is said begins with some tokens, for many at once.

The definition is that of Watanabe et al., "Hybrid CTC/Attention Architecture for
End-to-End Speech Recognition", Algorithm 2, as in ESPnet, without a window (its option
`ctc_window_margin` at 0). Two things make it fast and change no value: how far a prefix
has come is computed of those alone that stay in the beam, because the score of a next
token needs its parent only; and the recursion over frames, r[t] = (r[t-1] + e[t]) x[t],
is a running sum of e[t] / (x[0] ... x[t-1]), taken in logarithms.
"""

from typing import NamedTuple, Optional

import numpy as np

# logarithm of what cannot be; finite, so that differences are numbers
NEVER = -1e10
# smaller parts of a sum than e to this cannot be seen in it
_FAINT = -600.0


class Prefixes(NamedTuple):
    """B prefixes and the probabilities of all paths that spell them.

    Args:
        last: (B,) their last tokens.
        before: (B, T), log: they are said, whole, in the frames before each frame.
        before_blank: (B, T), the same, where the last of these frames is blank.
        whole: (B,), log: they are all that is said.
        scores: (B,), log: what is said begins with them.
    """

    last: np.ndarray
    before: np.ndarray
    before_blank: np.ndarray
    whole: np.ndarray
    scores: np.ndarray


class CtcPrefixScorer:
    """Scores of the next tokens of prefixes in one utterance.

    Args:
        log_probs: (T, V), at least one frame.
        blank: Token id.
        eos: Token id; its score is that of saying no more.
    """

    def __init__(self, log_probs: np.ndarray, blank: int, eos: int) -> None:
        self.blank = blank
        self.eos = eos
        self.logs = np.ascontiguousarray(log_probs.T, dtype=np.float64)  # (V, T)
        self.probs = np.exp(np.maximum(self.logs, _FAINT / 2))

    def start(self, sos: int) -> Prefixes:
        """Return the one prefix that is empty."""
        blanks = np.cumsum(self.logs[self.blank])
        before = np.concatenate([[0.0], blanks[:-1]])[None]
        return Prefixes(np.array([sos]), before, before, blanks[-1:], np.zeros(1))

    def score(self, prefixes: Prefixes, tokens: Optional[np.ndarray]) -> np.ndarray:
        """Return the log-probability of each prefix with one token more.

        Args:
            prefixes: B of them.
            tokens: (B, K) next tokens that matter; None stands for all.

        Returns:
            (B, V); minus infinity for tokens that do not matter, and for blank.
        """
        rows = np.arange(len(prefixes.last))
        top = prefixes.before.max(axis=1, keepdims=True)
        weights = _exp(prefixes.before - top)
        scores = np.full((len(rows), len(self.logs)), -np.inf)
        if tokens is None:
            scores[:] = top + np.log(weights @ self.probs.T)
        else:
            sums = (self.probs[tokens] @ weights[:, :, None])[:, :, 0]
            np.put_along_axis(scores, tokens, top + np.log(sums), axis=1)
        # a token that is said twice has a blank in between
        top = prefixes.before_blank.max(axis=1)
        weights = _exp(prefixes.before_blank - top[:, None])
        sums = (weights * self.probs[prefixes.last]).sum(axis=1)
        scored = np.isfinite(scores[rows, prefixes.last])
        scores[rows, prefixes.last] = np.where(scored, top + np.log(sums), -np.inf)
        if self.blank != self.eos:
            scores[:, self.blank] = -np.inf
        scores[:, self.eos] = prefixes.whole
        return scores

    def extend(
        self,
        prefixes: Prefixes,
        parents: np.ndarray,
        tokens: np.ndarray,
        scores: np.ndarray,
    ) -> Prefixes:
        """Return prefixes with one token more.

        Args:
            prefixes: B of them.
            parents: (N,) which of the prefixes each new one continues.
            tokens: (N,) by which token.
            scores: (N,) what `score` said of it.
        """
        twice = (tokens == prefixes.last[parents])[:, None]
        before = np.where(
            twice, prefixes.before_blank[parents], prefixes.before[parents]
        )
        label = _paths(before, self.logs[tokens])
        blank = _paths(_later(label), self.logs[self.blank])
        either = np.logaddexp(label, blank)
        return Prefixes(tokens, _later(either), _later(blank), either[:, -1], scores)


def _exp(logs: np.ndarray) -> np.ndarray:
    return np.exp(np.maximum(logs, _FAINT))


def _later(logs: np.ndarray) -> np.ndarray:
    """Move (B, T) by one frame."""
    moved = np.full_like(logs, NEVER)
    moved[:, 1:] = logs[:, :-1]
    return moved


def _paths(enters: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return (B, T), log: one is in a state.

    Args:
        enters: (B, T), log: one comes into it before each frame.
        logs: (B, T) or (T,), log: it is what is heard in each frame.
    """
    sums = np.cumsum(logs, axis=-1)
    return sums + np.logaddexp.accumulate(enters - (sums - logs), axis=-1)
