# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import itertools

import pytest
import torch

from espnet_prune.distill.losses import default_layers
from espnet_prune.distill.matching import match_fixed, match_in_order, match_nearest


def brute_force(distance, exists):
    """Return the smallest total distance over all order-keeping choices."""
    alive = [j for j, e in enumerate(exists) if e]
    count = len(distance)
    strict = len(alive) >= count
    best = float("inf")
    for choice in itertools.product(alive, repeat=count):
        steps = [b - a for a, b in zip(choice, choice[1:])]
        if all(s > 0 if strict else s >= 0 for s in steps):
            best = min(best, sum(float(distance[i, j]) for i, j in enumerate(choice)))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_in_order_is_optimal_and_keeps_order(seed):
    generator = torch.Generator().manual_seed(seed)
    distance = torch.rand(3, 6, generator=generator)
    exists = (torch.rand(6, generator=generator) > 0.4).tolist()
    exists[seed % 6] = True
    pairs = match_in_order(distance, exists)
    assert [i for i, _ in pairs] == [0, 1, 2]
    chosen = [j for _, j in pairs]
    assert all(exists[j] for j in chosen)
    assert chosen == sorted(chosen)
    total = sum(float(distance[i, j]) for i, j in pairs)
    assert total == pytest.approx(brute_force(distance, exists), abs=1e-6)


def test_nearest_ignores_removed_blocks():
    distance = torch.tensor([[0.1, 0.5, 0.9], [0.1, 0.2, 0.05]])
    assert match_nearest(distance, [True, True, True]) == [(0, 0), (1, 2)]
    assert match_nearest(distance, [False, True, True]) == [(0, 1), (1, 2)]
    assert match_nearest(distance, [False, False, False]) == []
    assert match_in_order(distance, [False, False, False]) == []


def test_fixed_uses_positions_of_kept_blocks():
    four = range(4)
    assert match_fixed([1, 3], [True] * 4, four) == [(0, 1), (1, 3)]
    assert match_fixed([1, 3], [True, False, True, True], four) == [(1, 3)]
    # blocks 0 and 3 of the teacher are left
    assert match_fixed([1, 3], [True, True], four, [0, 3]) == [(1, 1)]
    # depth halved, origin unknown: evenly spread, last on last
    assert match_fixed([1, 3], [True, True], four) == [(0, 0), (1, 1)]


def test_fixed_knows_a_teacher_that_lacks_blocks():
    # teacher and student are the same model, blocks 0 and 3 of a larger one
    assert match_fixed([0, 1], [True, True], [0, 3], [0, 3]) == [(0, 0), (1, 1)]
    # of blocks 0, 3 and 5 the student has lost 3
    assert match_fixed([0, 1, 2], [True, True], [0, 3, 5], [0, 5]) == [(0, 0), (2, 1)]
    # numbers that are not the teacher's say nothing: evenly spread
    assert match_fixed([0, 1], [True, True], [0, 1], [0, 3]) == [(0, 0), (1, 1)]


def test_default_layers_end_at_the_last():
    assert default_layers(12, 4) == [2, 5, 8, 11]
    assert default_layers(6, 4)[-1] == 5
    assert default_layers(2, 4) == [0, 1]
