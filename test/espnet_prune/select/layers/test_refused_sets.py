# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""No search proposes blocks that the cut would refuse."""

import functools
import itertools

import numpy as np
import pytest
import torch

from espnet_prune import Structure, UserError, cut
from espnet_prune.bin import select
from espnet_prune.select.budget import Budget
from espnet_prune.select.layers import coarse
from espnet_prune.select.layers import search as searches
from espnet_prune.select.layers.asked import number_to_remove
from espnet_prune.select.layers.conf import COARSE, LayersConf
from espnet_prune.select.layers.evaluator import Result
from espnet_prune.units.blocks import kept_after
from espnet_prune.units.narrow import can_drop, most_removable
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model
from test.espnet_prune.encoder_zoo import build

N = 6
TAPS = dict(interctc_layer_idx=[2, 4], interctc_use_conditioning=True)


@pytest.fixture(scope="module")
def encoder():
    encoder = build("transformer", num_blocks=N, **TAPS)
    encoder.conditioning_layer = torch.nn.Linear(7, 16)
    return encoder


def all_sets(number):
    return list(itertools.combinations(range(1, N + 1), number))


class Errors:
    """An evaluator without a model: an error per set, the lower the worse the set."""

    number = N

    def __init__(self, allowed):
        random = np.random.default_rng(0)
        self.results, self.asked = {}, set()
        for removed in itertools.chain(*(all_sets(n) for n in range(N))):
            bonus = 0 if allowed(removed) else -9
            self.results[removed] = Result(bonus + random.random(), 0.0)

    def restart(self):
        self.asked = set()

    def evaluate(self, sets):
        self.asked.update(sets)
        return [self.results[removed] for removed in sets]

    def __call__(self, removed):
        return self.evaluate([removed])[0]

    @property
    def evaluations(self):
        return len(self.asked)


def test_allowed_is_what_the_cut_takes(encoder):
    dense, sizes = Structure.dense(encoder), {0}
    for removed in itertools.chain(*(all_sets(n) for n in range(1, N))):
        structure = dense.with_widths({"kept_blocks": kept_after(removed, N)})
        if can_drop(encoder, removed):
            cut(encoder, structure)
            sizes.add(len(removed))
        else:
            with pytest.raises(UserError, match="self-conditioned"):
                cut(encoder, structure)
    assert max(sizes) == most_removable(encoder) == 3
    plain = build("transformer", num_blocks=N, interctc_layer_idx=[2, 4])
    assert most_removable(plain) == N - 1 and can_drop(plain, (1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    "name", ["iterative", "sensitivity", "exhaustive", "comflp", "random"]
)
@pytest.mark.parametrize("num_remove", [2, 3])
def test_searches(encoder, name, num_remove):
    allowed = functools.partial(can_drop, encoder)
    errors, matrix = Errors(allowed), np.ones((N + 1, N + 1))
    for more in ({}, {"forbid_adjacent": True}):
        conf = LayersConf.from_dict({"search": name, "max_evaluations": 20, **more})
        for seed in range(5):
            found = searches.search(conf, num_remove, N, errors, matrix, seed, allowed)
            assert len(found.removed) == num_remove and allowed(found.removed)
            assert all(allowed(row.removed) for row in found.rows)
            assert all(allowed(removed) for removed in errors.asked)
    if name in ("exhaustive", "comflp"):  # there are no more than 20
        best = min(filter(allowed, all_sets(num_remove)), key=errors.results.get)
        assert found.removed == best


@pytest.mark.parametrize("mode", COARSE)
@pytest.mark.parametrize("num_remove", [1, 2, 3])
def test_coarse_candidates(encoder, mode, num_remove):
    allowed = functools.partial(can_drop, encoder)
    matrix = np.random.default_rng(1).random((N + 1, N + 1))
    conf = LayersConf.from_dict({"coarse": mode, "top_k": 7, "beam": 99})
    found = searches.candidates(matrix, num_remove, conf, 0, allowed)
    every = list(filter(allowed, all_sets(num_remove)))
    assert len(found) == min(7, len(every))
    assert {c.removed for c in found} <= set(every)
    if mode != "random":
        scores = sorted((coarse.score(matrix, r) for r in every), reverse=True)
        assert [c.score for c in found] == pytest.approx(scores[:7])


def test_what_cannot_go_is_told_before_any_work(encoder, tmp_path):
    dense = Structure.dense(encoder)
    with pytest.raises(UserError, match="of 6 blocks 1 to 3 .*interctc_layer_idx"):
        number_to_remove(dense, 4, None, most_removable(encoder))
    with pytest.raises(UserError, match="more than 3 of 6 blocks"):
        number_to_remove(dense, None, Budget.of("params", 0.6), most_removable(encoder))
    own = {"encoder_conf": {**CONFIG["encoder_conf"], **TAPS}}
    make_exp(tmp_path, make_model({**CONFIG, **own}), **own)
    words = ["--model_config", str(tmp_path / "config.yaml"), "--model_file"]
    words += [str(tmp_path / "model.pth"), "--output_dir", str(tmp_path / "out")]
    words += ["--config", str(tmp_path / "select.yaml")]
    for search, number, text in (
        ("truncate", 2, r"truncate would remove blocks \[4, 5\]"),
        ("iterative", 3, "of 5 blocks 1 to 2"),
    ):
        conf = {"search": search, "metric": "cer"}
        conf = {"method": "layers", "num_remove": number, "layers_conf": conf}
        write_yaml(conf, tmp_path / "select.yaml")
        with pytest.raises(UserError, match=text):
            select.main(words)
    assert not (tmp_path / "out").exists()
