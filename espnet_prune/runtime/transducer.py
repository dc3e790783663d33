# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transducers: greedy, and the beam search that ESPnet takes by default.

Both find what ESPnet's `BeamSearchTransducer` finds, which is one token per frame at
most for the greedy search, and no merging of paths in the other (Graves, "Sequence
Transduction with Recurrent Neural Networks", Algorithm 1, without prefix search).
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import numpy as np

from .hypothesis import Hypothesis, Tree, best

# frames that the joint network hears at once while the text stays the same
_FRAMES = 8
# hypotheses that are looked at in one frame, times the beam: a model that has learned
# nothing may prefer one token more for ever
_PATIENCE = 100

State = Dict[str, np.ndarray]


class _Path(NamedTuple):
    """A hypothesis on its way through the frames."""

    score: float
    node: int  # of the tree of texts
    times: Any  # (frame of the last token, times of those before), or None


class _Texts:
    """What the prediction network says after texts, each computed once."""

    def __init__(self, session: Any, blank: int) -> None:
        self.session = session
        self.blank = blank
        self.outputs = [output.name for output in session.get_outputs()]
        self.tree = Tree()
        self.known: Dict[int, Tuple[np.ndarray, State]] = {}

    def __getitem__(self, node: int) -> np.ndarray:
        """Return the prediction (1, D) after the text of a node."""
        if node not in self.known:
            token, before = self.blank, self._empty()
            if node:
                token = self.tree.tokens[node]
                before = self.known[self.tree.parents[node]][1]
            given = {"tokens": np.array([[token]]), **before}
            values = dict(zip(self.outputs, self.session.run(self.outputs, given)))
            prediction = values.pop("prediction")
            state = {name[len("new_") :]: value for name, value in values.items()}
            self.known[node] = prediction, state
        return self.known[node][0]

    def _empty(self) -> State:
        given = {one.name: one.shape for one in self.session.get_inputs()}
        return {
            name: np.zeros((1, *shape[1:]), np.float32)
            for name, shape in given.items()
            if name.startswith("state_")
        }


class Transducer:
    """The searches of a deployed transducer.

    Args:
        sessions: "prediction" and "joint".
        config: "blank" of config.json.
    """

    def __init__(self, sessions: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.sessions = sessions
        self.blank = config["blank"]

    def greedy(self, encoder_out: np.ndarray) -> Hypothesis:
        """Take the likeliest token of each frame.

        Args:
            encoder_out: (T, D).
        """
        texts = _Texts(self.sessions["prediction"], self.blank)
        node, score, t = 0, 0.0, 0
        times: List[int] = []
        while t < len(encoder_out):
            log_probs = self._joint(encoder_out[t : t + _FRAMES], texts[node])
            tokens = log_probs.argmax(axis=1)
            spoken = np.flatnonzero(tokens != self.blank)
            if not len(spoken):
                t += len(tokens)
                continue
            first = int(spoken[0])
            node = texts.tree.child(node, int(tokens[first]))
            score += float(log_probs[first, tokens[first]])
            times.append(t + first)
            t += first + 1
        return Hypothesis(texts.tree.spelled(node), score, times)

    def beam(
        self, encoder_out: np.ndarray, beam_size: int, score_norm: bool = True
    ) -> List[Hypothesis]:
        """Search with several hypotheses.

        Args:
            encoder_out: (T, D).
            beam_size: Hypotheses that are followed; at 1 the search is greedy.
            score_norm: Whether scores are divided by the lengths, blank at the
                beginning included, to tell which is the best.

        Returns:
            The hypotheses after the last frame, the best first.
        """
        if beam_size <= 1:
            return [self.greedy(encoder_out)]
        texts = _Texts(self.sessions["prediction"], self.blank)
        kept = [_Path(0.0, 0, None)]
        for t in range(len(encoder_out)):
            kept = self._hear(encoder_out[t : t + 1], t, kept, texts, beam_size)

        def rank(path: _Path) -> float:
            length = texts.tree.depths[path.node] + 1 if score_norm else 1
            return path.score / length

        return [
            Hypothesis(texts.tree.spelled(path.node), path.score, _unrolled(path.times))
            for path in sorted(kept, key=rank, reverse=True)
        ]

    def _hear(
        self, frame: np.ndarray, t: int, paths: List[_Path], texts: _Texts, beam: int
    ) -> List[_Path]:
        """Return the hypotheses after one more frame (1, D)."""
        nodes = list(dict.fromkeys(path.node for path in paths))
        rows = self._joint(frame, np.concatenate([texts[node] for node in nodes]))
        heard = dict(zip(nodes, rows))
        beam = min(beam, rows.shape[1])
        count = min(beam, rows.shape[1] - 1)
        kept: List[_Path] = []
        for _ in range(_PATIENCE * beam):
            top = paths.pop(max(range(len(paths)), key=lambda i: paths[i].score))
            if top.node not in heard:
                heard[top.node] = self._joint(frame, texts[top.node])[0]
            log_probs = heard[top.node]
            stays = top.score + float(log_probs[self.blank])
            kept.append(top._replace(score=stays))
            others = log_probs.copy()
            others[self.blank] = -np.inf
            for token in best(others, count).tolist():
                score = top.score + float(log_probs[token])
                node = texts.tree.child(top.node, token)
                paths.append(_Path(score, node, (t, top.times)))
            limit = max(paths, key=_score).score
            ahead = [path for path in kept if path.score > limit]
            if len(ahead) >= beam:
                return sorted(ahead, key=_score)
        return sorted(kept, key=_score)[-beam:]

    def _joint(self, frames: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Return log-probabilities (B, V); frames or predictions may be one row."""
        given = {"encoder_frame": frames, "prediction": predictions}
        return self.sessions["joint"].run(["log_probs"], given)[0]


def _score(path: _Path) -> float:
    return path.score


def _unrolled(times: Any) -> List[int]:
    found: List[int] = []
    while times is not None:
        found.append(times[0])
        times = times[1]
    return found[::-1]
