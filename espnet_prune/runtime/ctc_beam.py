# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""CTC prefix beam search, and where the tokens of a text are heard."""

from typing import List, Sequence, Tuple

import numpy as np

from .ctc_prefix import NEVER
from .hypothesis import Tree, best


def ctc_prefix_beam(
    log_probs: np.ndarray, blank: int, beam: int
) -> Tuple[List[int], float, List[int]]:
    """Find the tokens whose paths are likeliest together.

    Args:
        log_probs: (T, V).
        blank: Token id.
        beam: Prefixes that are followed from frame to frame.

    Returns:
        Tokens, the logarithm of their probability as far as the beam has followed it,
        and the frame at which each begins on the likeliest path.
    """
    search = _PrefixBeam(blank)
    logs = np.asarray(log_probs, dtype=np.float64)
    others = np.where(np.arange(logs.shape[1]) == blank, -np.inf, logs)
    # some of the likeliest tokens may lead to what is in the beam already
    count = min(2 * beam, logs.shape[1] - 1)
    for frame, likely in zip(logs, best(others, max(count, 1))):
        search.step(frame, likely[:count], beam)
    top = int(np.argmax(search.scores()))
    tokens = search.tree.spelled(search.nodes[top])
    return tokens, float(search.scores()[top]), align(logs, tokens, blank)


class _PrefixBeam:
    """Prefixes, and the probabilities of their paths so far."""

    def __init__(self, blank: int) -> None:
        self.blank = blank
        self.tree = Tree()
        self.nodes = [0]
        self.in_blank, self.in_label = np.zeros(1), np.full(1, NEVER)

    def scores(self) -> np.ndarray:
        """Return the log-probabilities (B,) of the prefixes in the beam."""
        return np.logaddexp(self.in_blank, self.in_label)

    def step(self, logs: np.ndarray, likely: np.ndarray, beam: int) -> None:
        """Hear one frame.

        Args:
            logs: (V,).
            likely: (K,) the tokens that may be added, the best of the frame.
            beam: Number of prefixes that stay.
        """
        size, total = len(self.nodes), self.scores()
        last = np.array([self.tree.tokens[node] for node in self.nodes])
        again = np.where(last < 0, NEVER, logs[last])
        stays = self.in_label + again
        # a token said twice has a blank in between
        same = likely == last[:, None]
        added = np.where(same, self.in_blank[:, None], total[:, None]) + logs[likely]
        places = {node: place for place, node in enumerate(self.nodes)}
        for place, node in enumerate(self.nodes):
            above = places.get(self.tree.parents[node])
            if above is not None:
                from_there = self.in_blank if last[above] == last[place] else total
                entered = from_there[above] + again[place]
                stays[place] = np.logaddexp(stays[place], entered)
                added[above, likely == last[place]] = -np.inf
        in_blank = total + logs[self.blank]
        every = np.concatenate([np.logaddexp(stays, in_blank), added.ravel()])
        chosen = best(every, min(beam, int((every > -np.inf).sum())))
        kept, new = chosen[chosen < size], chosen[chosen >= size] - size
        parents, places_of = np.divmod(new, max(len(likely), 1))
        nodes = [self.nodes[place] for place in kept]
        nodes += [
            self.tree.child(self.nodes[parent], int(likely[place]))
            for parent, place in zip(parents, places_of)
        ]
        self.nodes = nodes
        never = np.full(len(new), NEVER)
        self.in_blank = np.concatenate([in_blank[kept], never])
        self.in_label = np.concatenate([stays[kept], added.ravel()[new]])


def align(log_probs: np.ndarray, tokens: Sequence[int], blank: int) -> List[int]:
    """Return the frame at which each token begins on the likeliest path.

    Args:
        log_probs: (T, V) of CTC.
        tokens: Token ids, without blank.
        blank: Token id.

    Returns:
        As many frames as tokens; where they do not fit into T frames, evenly spread.
    """
    frames = len(log_probs)
    evenly = [i * frames // len(tokens) for i in range(len(tokens))]
    if len(tokens) == 0 or frames == 0:
        return evenly
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    heard = np.asarray(log_probs, dtype=np.float64)[:, states]
    # from the token before, unless it is the same
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    scores = np.full(len(states), -np.inf)
    scores[:2] = heard[0, :2]
    moves = np.zeros((frames, len(states)), int)
    for t in range(1, frames):
        ways = np.full((3, len(states)), -np.inf)
        ways[0] = scores
        ways[1, 1:] = scores[:-1]
        ways[2, 2:] = np.where(skips[2:], scores[:-2], -np.inf)
        moves[t] = ways.argmax(axis=0)
        scores = ways.max(axis=0) + heard[t]
    if scores[-2:].max() == -np.inf:
        return evenly
    state = len(states) - 2 + int(scores[-1] > scores[-2])
    times = [0] * len(tokens)
    for t in range(frames - 1, -1, -1):
        if state % 2:
            times[state // 2] = t
        state -= moves[t, state]
    return times
