# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Coarse search: candidates by the similarity of layers alone, without any model.

A removal set is a sorted tuple of block numbers, 1-based. `matrix[a, b]` is how alike
the hidden states x_a and x_b are, x_0 the input of block 1 and x_l the output of
block l (CoMFLP, Liu et al. 2023).
"""

import heapq
import itertools
import math
import random as _random
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_prune.utils import UserError

Removed = Tuple[int, ...]
Allowed = Callable[[Removed], bool]


class Candidate(NamedTuple):
    """A removal set and its score; higher is more redundant."""

    score: float
    removed: Removed


def check_number(number: int, num_remove: int, most: Optional[int] = None) -> None:
    """Refuse to remove nothing, or more than can go.

    Args:
        number: Blocks of the model.
        num_remove: Blocks to remove.
        most: How many can be cut out, see `most_removable`; all but one by default.

    Raises:
        UserError: `num_remove` is not between 1 and `most`.
    """
    most = number - 1 if most is None else most
    if not 1 <= num_remove <= most:
        why = (
            ""
            if most == number - 1
            else (
                ", because self-conditioned intermediate CTC needs a block before and "
                "after each of its taps (interctc_layer_idx)"
            )
        )
        raise UserError(
            f"num_remove is {num_remove}; of {number} blocks 1 to {most} can be "
            f"removed{why}"
        )


def everything(removed: Removed) -> bool:
    """Allow any set, where no model says what can be cut."""
    return True


def runs(removed: Sequence[int]) -> List[Tuple[int, int]]:
    """Split a removal set into its maximal runs [(first, last), ...]."""
    found: List[Tuple[int, int]] = []
    for block in sorted(removed):
        if found and found[-1][1] == block - 1:
            found[-1] = (found[-1][0], block)
        else:
            found.append((block, block))
    return found


def score(matrix: np.ndarray, removed: Sequence[int]) -> float:
    """Mean similarity across the removed runs, each run counted once.

    Args:
        matrix: (N+1, N+1).
        removed: Block numbers, 1-based.
    """
    values = [float(matrix[first - 1, last]) for first, last in runs(removed)]
    return sum(values) / len(values)


def _top(matrix: np.ndarray, sets: Sequence[Removed], k: int) -> List[Candidate]:
    # of equal scores the set with the smaller numbers comes first
    found = [Candidate(score(matrix, removed), removed) for removed in sets]
    return heapq.nsmallest(k, found, key=lambda c: (-c.score, c.removed))


def beam(
    matrix: np.ndarray,
    num_remove: int,
    top_k: int = 10,
    width: int = 10,
    allowed: Allowed = everything,
) -> List[Candidate]:
    """Beam search as published: add one block at a time, keep the best `width` sets."""
    number = len(matrix) - 1
    check_number(number, num_remove)
    beams: List[Removed] = [()]
    for _ in range(num_remove):
        grown = {
            tuple(sorted((*removed, block)))
            for removed in beams
            for block in range(1, number + 1)
            if block not in removed
        }
        found = _top(matrix, sorted(filter(allowed, grown)), max(width, 1))
        beams = [candidate.removed for candidate in found]
    return found[:top_k]


def exhaustive(
    matrix: np.ndarray,
    num_remove: int,
    top_k: int = 10,
    allowed: Allowed = everything,
) -> List[Candidate]:
    """Score every set; for small depths and for tests."""
    number = len(matrix) - 1
    check_number(number, num_remove)
    every = itertools.combinations(range(1, number + 1), num_remove)
    return _top(matrix, list(filter(allowed, every)), top_k)


def random_sets(
    number: int,
    num_remove: int,
    count: int,
    seed: int,
    allowed: Allowed = everything,
) -> List[Removed]:
    """Draw different removal sets, uniformly; fewer where there are no more of them."""
    check_number(number, num_remove)
    rng = _random.Random(seed)
    found: List[Removed] = []
    drawn = set()
    most = math.comb(number, num_remove)
    while len(found) < count and len(drawn) < most:
        removed = tuple(sorted(rng.sample(range(1, number + 1), num_remove)))
        if removed not in drawn and allowed(removed):
            found.append(removed)
        drawn.add(removed)
    return found


class _Paths:
    """The best removal sets in order, as paths over (kept block, removed, runs).

    An edge jumps from one kept block to the next, over a gap of removed blocks; block 0
    and block N + 1 stand for the two ends. A forward pass gives the best sum to every
    node; further paths are found lazily, backwards, one at a time.
    """

    def __init__(self, matrix: np.ndarray, num_remove: int) -> None:
        self.matrix, self.remove = matrix, num_remove
        self.end = len(matrix)
        most = min(num_remove, self.end - num_remove)
        self.best = np.full((self.end + 1, num_remove + 1, most + 1), -np.inf)
        self.best[0, 0, 0] = 0.0
        for q in range(1, self.end + 1):
            self.best[q] = self.best[q - 1]
            for gap in range(1, min(num_remove, q - 1) + 1):
                p = q - 1 - gap
                reached = self.best[p, : num_remove + 1 - gap, :-1] + matrix[p, q - 1]
                np.maximum(self.best[q, gap:, 1:], reached, out=self.best[q, gap:, 1:])
        # per node: found paths (sum, gap, rank in the node before), and what is next
        self.found: Dict[Tuple[int, int, int], List[Tuple[float, int, int]]] = {}
        self.heaps: Dict[Tuple[int, int, int], List[Tuple[float, int, int]]] = {}

    def _before(self, node: Tuple[int, int, int], gap: int) -> Tuple[int, int, int]:
        q, removed, used = node
        return q - 1 - gap, removed - gap, used - (gap > 0)

    def _weight(self, node: Tuple[int, int, int], gap: int) -> float:
        q = node[0]
        return float(self.matrix[q - 1 - gap, q - 1]) if gap else 0.0

    def _first(self, node: Tuple[int, int, int]) -> List[Tuple[float, int, int]]:
        q, removed, used = node
        if q == 0:
            return [(0.0, -1, 0)]
        heap = []
        for gap in range(min(removed, q - 1 if used else 0) + 1):
            p, r, u = self._before(node, gap)
            value = self.best[p, r, u] if p >= 0 else -np.inf
            if value > -np.inf:
                heap.append((-(float(value) + self._weight(node, gap)), gap, 0))
        heapq.heapify(heap)
        return heap

    def kth(self, node: Tuple[int, int, int], rank: int) -> Optional[float]:
        """Return the sum of a node's path of this rank, None if there is none."""
        found = self.found.setdefault(node, [])
        if node not in self.heaps:
            self.heaps[node] = self._first(node)
        heap = self.heaps[node]
        while len(found) <= rank and heap:
            value, gap, below = heapq.heappop(heap)
            found.append((-value, gap, below))
            if gap < 0:
                continue
            after = self.kth(self._before(node, gap), below + 1)
            if after is not None:
                weight = self._weight(node, gap)
                heapq.heappush(heap, (-(after + weight), gap, below + 1))
        return found[rank][0] if rank < len(found) else None

    def removed(self, node: Tuple[int, int, int], rank: int) -> Removed:
        """Return the blocks that a found path removes."""
        blocks: List[int] = []
        while node[0] > 0:
            _, gap, below = self.found[node][rank]
            blocks += range(node[0] - gap, node[0])
            node, rank = self._before(node, gap), below
        return tuple(sorted(blocks))


def k_best(
    matrix: np.ndarray,
    num_remove: int,
    top_k: int = 10,
    allowed: Allowed = everything,
) -> List[Candidate]:
    """Return the exact `top_k` sets of highest score, in polynomial time.

    For every number of runs the score is a sum over a path, so its best paths come from
    dynamic programming; the lists of all numbers of runs are then merged. The search
    over matrices is CoMFLP's, this algorithm is ours. O(N m^2 min(m, N-m)) for the
    best sums, then O(N) node visits per further set, also per one not `allowed`.
    """
    number = len(matrix) - 1
    check_number(number, num_remove)
    paths = _Paths(np.asarray(matrix, dtype=np.float64), num_remove)
    merged: List[Tuple[float, int, int]] = []
    for used in range(1, paths.best.shape[2]):
        value = paths.kth((paths.end, num_remove, used), 0)
        if value is not None:
            merged.append((-value / used, used, 0))
    heapq.heapify(merged)
    found: List[Removed] = []
    while merged and len(found) < top_k:
        _, used, rank = heapq.heappop(merged)
        node = (paths.end, num_remove, used)
        removed = paths.removed(node, rank)
        if allowed(removed):
            found.append(removed)
        value = paths.kth(node, rank + 1)
        if value is not None:
            heapq.heappush(merged, (-value / used, used, rank + 1))
    return _top(matrix, found, top_k)
