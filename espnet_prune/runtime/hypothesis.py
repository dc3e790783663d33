# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a search finds, and what all searches share."""

from typing import Dict, List, NamedTuple, Optional, Tuple

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


class Tree:
    """Sequences of tokens as nodes; node 0 is the empty one."""

    def __init__(self) -> None:
        self.parents, self.tokens, self.depths = [-1], [-1], [0]  # of every node
        self._children: Dict[Tuple[int, int], int] = {}

    def child(self, node: int, token: int) -> int:
        """Return the node of a sequence with one token more."""
        key = node, token
        if key not in self._children:
            self._children[key] = len(self.tokens)
            self.parents.append(node)
            self.tokens.append(token)
            self.depths.append(self.depths[node] + 1)
        return self._children[key]

    def spelled(self, node: int) -> List[int]:
        """Return the tokens of a node."""
        tokens: List[int] = []
        while node:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tokens[::-1]


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
