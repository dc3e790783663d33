# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Attention decoders: greedy, and beam search together with CTC.

The beam search finds what ESPnet's `BatchBeamSearch` finds as `Speech2Text` sets it up,
by the same rules: which tokens CTC scores, what ends a search, which lengths are
allowed. ESPnet 202611 hears CTC through a window of 100 frames by default; what is here
is the exact score, as in 202511 or with its option `ctc_window_margin` at 0.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from .ctc_prefix import CtcPrefixScorer, Prefixes
from .hypothesis import Hypothesis, best

# CTC scores so many times the beam of the decoder's best tokens
_PRE_BEAM = 1.5
# a search ends where what ended in each of so many steps is worse than the best by this
_STEPS, _WORSE = 3, -10.0


class _Running(NamedTuple):
    """B hypotheses that have not ended."""

    tokens: np.ndarray  # (B, L), sos first
    scores: np.ndarray  # (B,)
    caches: Dict[str, np.ndarray]  # (B, heads, L - 1, width)
    prefixes: Optional[Prefixes]


class _Decoder:
    """One step of the decoder for several hypotheses of one utterance."""

    def __init__(self, sessions: Mapping[str, Any], encoder_out: np.ndarray) -> None:
        self.session = sessions["decoder"]
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.memory: Dict[str, np.ndarray] = {}
        if "memory" in sessions:
            names = [output.name for output in sessions["memory"].get_outputs()]
            values = sessions["memory"].run(names, {"encoder_out": encoder_out[None]})
            self.memory = dict(zip(names, values))

    def empty(self) -> Dict[str, np.ndarray]:
        """Return the caches of one hypothesis before its first token."""
        given = {one.name: one.shape for one in self.session.get_inputs()}
        return {
            name: np.zeros((1, shape[1], 0, shape[3]), np.float32)
            for name, shape in given.items()
            if name.startswith("cache_")
        }

    def step(self, running: _Running) -> Tuple[np.ndarray, Dict[str, np.ndarray]]:
        """Return the log-probabilities (B, V) of the next token, and longer caches."""
        given = {"tokens": running.tokens[:, -1:], **self.memory, **running.caches}
        values = dict(zip(self.outputs, self.session.run(self.outputs, given)))
        log_probs = values.pop("log_probs")
        return log_probs, {name[len("new_") :]: v for name, v in values.items()}


class Attention:
    """The searches of a deployed model that has an attention decoder.

    Args:
        sessions: "decoder" and, where it attends to the encoder, "memory".
        config: "sos", "eos" and "blank" of config.json.
    """

    def __init__(self, sessions: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.sessions = sessions
        self.sos, self.eos, self.blank = (config[k] for k in ("sos", "eos", "blank"))

    def greedy(self, encoder_out: np.ndarray) -> Hypothesis:
        """Take the likeliest token at each step.

        Args:
            encoder_out: (T, D).
        """
        found = self.beam(encoder_out, None, beam_size=1, ctc_weight=0.0)
        return found[0] if found else Hypothesis([], 0.0)

    def beam(
        self,
        encoder_out: np.ndarray,
        log_probs: Optional[np.ndarray],
        beam_size: int,
        ctc_weight: float,
        penalty: float = 0.0,
        maxlenratio: float = 0.0,
        minlenratio: float = 0.0,
    ) -> List[Hypothesis]:
        """Search with the scores of the decoder and of CTC.

        Args:
            encoder_out: (T, D).
            log_probs: (T, V) of CTC; unused at a weight of 0.
            beam_size: Hypotheses that are followed.
            ctc_weight: Weight of CTC; the decoder has the rest, and does not run at 1.
            penalty: Added to the score for every token.
            maxlenratio: Most tokens per frame; below 0 minus their number; at 0 there
                are at most as many as frames, and the search may end before.
            minlenratio: Fewest tokens per frame; below 0 minus their number.

        Returns:
            All that ended, the best first; nothing where nothing did.
        """
        frames = len(encoder_out)
        if frames == 0:
            return []
        longest = max(1, int(maxlenratio * frames)) if maxlenratio else frames
        if maxlenratio < 0:
            longest = -int(maxlenratio)
        decoder = scorer = None
        if ctc_weight != 1:
            decoder = _Decoder(self.sessions, encoder_out)
        if ctc_weight != 0:
            assert log_probs is not None
            scorer = CtcPrefixScorer(log_probs, self.blank, self.eos)
        search = _Search(decoder, scorer, beam_size, ctc_weight, penalty, self.eos)
        while True:
            shortest = (
                int(minlenratio * frames) if minlenratio > 0 else -int(minlenratio)
            )
            search.run(self.sos, longest, shortest, detect_end=maxlenratio == 0)
            if search.ended or minlenratio < 0.1:
                break
            minlenratio = max(0.0, minlenratio - 0.1)
        left = (self.eos, self.blank)
        return [
            Hypothesis([int(token) for token in tokens if token not in left], score)
            for score, tokens in sorted(search.ended, key=lambda one: -one[0])
        ]


class _Search:
    """A beam search in one utterance; what is found is in `ended`, score first."""

    def __init__(
        self,
        decoder: Optional[_Decoder],
        scorer: Optional[CtcPrefixScorer],
        beam_size: int,
        ctc_weight: float,
        penalty: float,
        eos: int,
    ) -> None:
        self.decoder = decoder
        self.scorer = scorer
        self.beam_size = beam_size
        self.ctc_weight = ctc_weight
        self.penalty = penalty
        self.eos = eos
        self.ended: List[Tuple[float, np.ndarray]] = []

    def run(self, sos: int, longest: int, shortest: int, detect_end: bool) -> None:
        """Search.

        Args:
            sos: Token id.
            longest: After so many tokens all hypotheses end.
            shortest: What ends before so many tokens is dropped.
            detect_end: Stop where nothing better is to be expected.
        """
        self.ended = []
        tops: List[float] = []  # the best that ended in each step; NaN where none did
        running = _Running(
            np.array([[sos]]),
            np.zeros(1, np.float32),
            self.decoder.empty() if self.decoder else {},
            self.scorer.start(sos) if self.scorer else None,
        )
        for step in range(longest):
            scores, ctc_scores, caches = self._score(running)
            possible = np.flatnonzero(np.isfinite(scores))
            count = min(self.beam_size, len(possible))
            chosen = possible[best(scores.ravel()[possible], count)]
            parents, tokens = np.divmod(chosen, scores.shape[1])
            sequences = np.column_stack([running.tokens[parents], tokens])
            found = scores[parents, tokens]
            stops = (tokens == self.eos) | (step == longest - 1)
            stopped = found[stops].tolist() if step >= shortest else []
            self.ended.extend(zip(stopped, sequences[stops, 1:]))
            tops.append(max(stopped, default=np.nan))
            if stops.all() or (detect_end and self._is_over(tops)):
                return
            goes_on = ~stops
            parents, tokens = parents[goes_on], tokens[goes_on]
            prefixes = None
            if self.scorer:
                prefixes = self.scorer.extend(
                    running.prefixes, parents, tokens, ctc_scores[parents, tokens]
                )
            running = _Running(
                sequences[goes_on],
                found[goes_on],
                {name: value[parents] for name, value in caches.items()},
                prefixes,
            )

    def _score(self, running: _Running) -> Tuple[np.ndarray, Any, Dict[str, Any]]:
        """Return scores of all next tokens, those of CTC, both (B, V), and caches."""
        caches: Dict[str, np.ndarray] = {}
        ctc_scores = tokens = None
        if self.decoder:
            log_probs, caches = self.decoder.step(running)
            scores = np.float32(1 - self.ctc_weight) * log_probs
        else:
            size = len(running.tokens), len(self.scorer.logs)
            scores = np.zeros(size, np.float32)
        scores += np.float32(self.penalty)
        if self.scorer:
            count = int(_PRE_BEAM * self.beam_size)
            if self.decoder and count < scores.shape[1]:
                tokens = best(scores, count)
            ctc_scores = self.scorer.score(running.prefixes, tokens)
            news = ctc_scores - running.prefixes.scores[:, None]
            scores += np.float32(self.ctc_weight) * news.astype(np.float32)
        return scores + running.scores[:, None], ctc_scores, caches

    def _is_over(self, tops: List[float]) -> bool:
        """Say whether what ended lately is much worse than the best."""
        lately = tops[-_STEPS - 2 : -2]
        limit = max((score for score, _ in self.ended), default=0.0) + _WORSE
        return len(lately) == _STEPS and all(top < limit for top in lately)
