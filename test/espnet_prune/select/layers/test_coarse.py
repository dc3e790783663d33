# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json

import numpy as np
import pytest

from espnet_prune.bin import select
from espnet_prune.select.layers import coarse
from espnet_prune.utils import UserError

# four blocks; the expected rankings were worked out by hand
ENTRIES = {
    (0, 1): 0.90,
    (0, 2): 0.80,
    (0, 3): 0.60,
    (0, 4): 0.50,
    (1, 2): 0.95,
    (1, 3): 0.70,
    (1, 4): 0.55,
    (2, 3): 0.85,
    (2, 4): 0.65,
    (3, 4): 0.92,
}
RANKING = {
    1: [((2,), 0.95), ((4,), 0.92), ((1,), 0.90), ((3,), 0.85)],
    2: [
        ((2, 4), 0.935),
        ((1, 4), 0.91),
        ((1, 3), 0.875),
        ((1, 2), 0.80),
        ((2, 3), 0.70),
        ((3, 4), 0.65),
    ],
    3: [((1, 2, 4), 0.86), ((1, 3, 4), 0.775), ((1, 2, 3), 0.60), ((2, 3, 4), 0.55)],
}


@pytest.fixture
def toy():
    matrix = np.eye(5)
    for (a, b), value in ENTRIES.items():
        matrix[a, b] = matrix[b, a] = value
    return matrix


def random_matrix(number, seed):
    matrix = np.random.RandomState(seed).rand(number + 1, number + 1)
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("find", [coarse.beam, coarse.exhaustive, coarse.k_best])
@pytest.mark.parametrize("num_remove", [1, 2, 3])
def test_toy_ranking(toy, find, num_remove):
    found = find(toy, num_remove, 10)
    assert [c.removed for c in found] == [r for r, _ in RANKING[num_remove]]
    assert np.allclose([c.score for c in found], [s for _, s in RANKING[num_remove]])


@pytest.mark.parametrize("seed", range(200))
def test_k_best_is_exhaustive(seed):
    random = np.random.RandomState(1000 + seed)
    number = random.randint(2, 13)
    num_remove = random.randint(1, number)
    matrix = random_matrix(number, seed)
    every = coarse.exhaustive(matrix, num_remove, 10)
    assert coarse.k_best(matrix, num_remove, 10) == every
    # a beam as wide as there are sets forgets nothing
    if number <= 8:
        assert coarse.beam(matrix, num_remove, 10, width=1000) == every


def test_all_ones_score_one():
    assert all(c.score == 1.0 for c in coarse.k_best(np.ones((8, 8)), 3, 35))
    # with room for all sets each is found once
    assert len({c.removed for c in coarse.k_best(np.ones((8, 8)), 3, 99)}) == 35


def test_deep_matrices_are_solved_exactly():
    # block 3k is redundant: the optimum is known at any depth
    number, num_remove = 48, 16
    matrix = np.full((number + 1, number + 1), 0.5)
    for block in range(3, number + 1, 3):
        matrix[block - 1, block] = matrix[block, block - 1] = 0.9
    best = coarse.k_best(matrix, num_remove, 3)[0]
    assert best.removed == tuple(range(3, number + 1, 3))
    assert best.score == pytest.approx(0.9)


def test_runs_and_score(toy):
    assert coarse.runs([4, 1, 2]) == [(1, 2), (4, 4)]
    assert coarse.score(toy, [4, 1, 2]) == pytest.approx((0.80 + 0.92) / 2)


@pytest.mark.parametrize("num_remove", [0, 4, 9])
def test_number_out_of_range(toy, num_remove):
    for find in (coarse.beam, coarse.exhaustive, coarse.k_best):
        with pytest.raises(UserError, match="num_remove"):
            find(toy, num_remove)


def test_random_sets_differ_and_repeat():
    sets = coarse.random_sets(8, 3, 20, seed=4)
    assert len(set(sets)) == 20 and sets == coarse.random_sets(8, 3, 20, seed=4)
    assert all(len(set(s)) == 3 and 1 <= min(s) and max(s) <= 8 for s in sets)
    assert len(coarse.random_sets(4, 3, 20, seed=0)) == 4


def test_command_without_a_model(toy, tmp_path, capsys):
    np.save(tmp_path / "m.npy", toy)
    options = f"--matrix {tmp_path}/m.npy --num_remove 2 --coarse_only".split()
    select.main([*options, "--top_k", "3", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["removed"] for row in rows] == [[2, 4], [1, 4], [1, 3]]
    assert rows[0]["score"] == pytest.approx(0.935)
    select.main(options)
    assert capsys.readouterr().out.splitlines()[0] == "0.935000  2 4"
    for options, text in (
        ("--num_remove 2", "--matrix"),
        (f"--matrix {tmp_path}/m.npy", "--num_remove"),
        (f"--matrix {tmp_path}/m.npy --num_remove 4", "num_remove is 4"),
        (f"--matrix {tmp_path}/n.npy --num_remove 2", "n.npy"),
    ):
        with pytest.raises(UserError, match=text):
            select.main([*options.split(), "--coarse_only"])
