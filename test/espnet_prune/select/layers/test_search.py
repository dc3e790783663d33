# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import itertools
import logging
import math

import numpy as np
import pytest
import torch

from espnet_prune.select.layers import search as searches
from espnet_prune.select.layers.attention import make_evaluator
from espnet_prune.select.layers.conf import LayersConf
from espnet_prune.select.layers.dev_data import load_batches
from espnet_prune.select.layers.evaluator import Evaluator
from espnet_prune.select.layers.tried import Tried
from espnet_prune.utils import UserError
from test.espnet_prune.deep import CONFIG, make_exp, make_identity, make_model

N = CONFIG["encoder_conf"]["num_blocks"]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A model whose third block does nothing, and its labelled data."""
    folder = tmp_path_factory.mktemp("deep")
    model = make_model(CONFIG)
    make_identity(model, 3)
    config = make_exp(folder, model)
    return model, config, folder, load_batches(config, metric="cer", batch_seconds=2)


def naive(model, batches, removed):
    """Error by ESPnet's own forward and a textbook edit distance."""
    from espnet_prune.units.blocks import kept_after, with_blocks

    before = model.encoder
    model.encoder = with_blocks(before, kept_after(removed, N))
    errors = words = 0
    for batch in batches:
        with torch.no_grad():
            hidden, lengths = model.encode(batch.speech, batch.lengths)
        for row, length, ref in zip(model.ctc.argmax(hidden), lengths, batch.refs):
            ids = [k for k, _ in itertools.groupby(row[:length].tolist()) if k]
            errors += distance(batch.split(batch.to_text(ids)), ref)
            words += len(ref)
    model.encoder = before
    return errors / words


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        last, row = row, [i + 1]
        for j, y in enumerate(b):
            row.append(min(last[j] + (x != y), last[j + 1] + 1, row[-1] + 1))
    return row[-1]


def test_evaluator_is_length_aware_and_cached(case):
    model, _, _, batches = case
    assert len(batches) > 1 and max(len(b.ids) for b in batches) > 1
    evaluator = Evaluator(model, batches)
    sets = [(), (3,), (1,), (2, 4), (1, 5), (2, 3, 4, 5)]
    results = evaluator.evaluate(sets)
    for removed, result in zip(sets, results):
        assert result.error == pytest.approx(naive(model, batches, removed))
    assert results[0] == results[1] and 0 == results[0].error < results[2].error
    assert evaluator.evaluations == len(sets)
    assert evaluator.blocks_run < evaluator.blocks_naive
    # what is padding does not count
    hidden = torch.randn(len(batches[0].ids), 30, 16)
    short = batches[0].errors(model.ctc, hidden, torch.full((len(hidden),), 9))
    hidden[:, 9:] = 7.0
    assert short == batches[0].errors(model.ctc, hidden, torch.full((len(hidden),), 9))
    # nothing is run again
    before = evaluator.blocks_run
    assert evaluator.evaluate(sets) == results and evaluator.blocks_run == before


@pytest.mark.parametrize("cache_bytes", [0, 20000, 1 << 30])
def test_cache_size_changes_nothing_but_work(case, cache_bytes):
    model, _, _, batches = case
    evaluator = Evaluator(model, batches, cache_bytes=cache_bytes)
    found = searches.exhaustive(evaluator, 2)
    fresh = [Evaluator(model, batches)(row.removed) for row in found.rows]
    assert [(r.error, r.loss) for r in fresh] == [
        (row.error, row.loss) for row in found.rows
    ]
    held = sum(s.bytes() for cache in evaluator.caches for s in cache.values())
    assert cache_bytes < 1 << 30 or held > 0
    if cache_bytes == 1 << 30:  # every prefix of every set exactly once
        kept = [c for c in itertools.combinations(range(N), N - 2)]
        prefixes = {c[:n] for c in kept for n in range(1, N - 1)}
        assert evaluator.blocks_run == len(prefixes) * len(batches)
        assert evaluator.blocks_naive == len(kept) * (N - 2) * len(batches)


def test_iterative_removes_the_idle_block_first(case):
    model, _, _, batches = case
    found = searches.iterative(Evaluator(model, batches), 3)
    assert found.path[1].removed == (3,) and 3 in found.removed
    sizes = [set(found.path[n].removed) for n in (1, 2, 3)]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("name", ["iterative", "greedy", "sensitivity", "exhaustive"])
@pytest.mark.parametrize("num_remove", [1, 2, 4])
def test_evaluations_equal_the_formula(case, name, num_remove):
    model, _, _, batches = case
    conf = LayersConf.from_dict({"search": name})
    evaluator = Evaluator(model, batches)
    found = searches.search(conf, num_remove, N, evaluator)
    assert found.evaluations == searches.expected_evaluations(conf, N, num_remove)
    assert len(found.removed) == num_remove


def test_formulas_at_paper_sizes():
    greedy = LayersConf.from_dict({"search": "greedy"})
    for number, left, expected in ((12, 6, 57), (24, 12, 222), (48, 24, 876)):
        found = searches.expected_evaluations(greedy, number, number - left)
        assert found == expected
        assert found == (number * (number + 1) - left * (left + 1)) // 2
    every = LayersConf.from_dict({"search": "exhaustive"})
    assert searches.expected_evaluations(every, 12, 6) == 924
    assert searches.expected_evaluations(LayersConf(), 48, 24) == 12


def similarity(model):
    matrix = np.full((N + 1, N + 1), 0.2)
    np.fill_diagonal(matrix, 1.0)
    matrix[2, 3] = matrix[3, 2] = 1.0
    for a in range(N):
        if a != 2:
            matrix[a, a + 1] = matrix[a + 1, a] = 0.5 + 0.05 * a
    return matrix


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("num_remove", [1, 2, 3])
def test_comflp_cost_is_constant(case, refine, num_remove):
    model, _, _, batches = case
    conf = LayersConf.from_dict(
        {"refine": refine, "max_evaluations": 7, "top_k": 4, "coarse": "exact"}
    )
    evaluator = Evaluator(model, batches)
    found = searches.search(conf, num_remove, N, evaluator, similarity(model))
    assert found.evaluations == (min(7, math.comb(N, num_remove)) if refine else 4)
    assert found.evaluations == searches.expected_evaluations(conf, N, num_remove)
    assert num_remove > 1 or found.removed == (3,)
    assert [r.error for r in found.rows] == sorted(r.error for r in found.rows)
    assert all(row.score is not None for row in found.rows)


def test_refine_with_room_for_all_finds_the_optimum(case):
    model, _, _, batches = case
    conf = LayersConf.from_dict({"max_evaluations": math.comb(N, 2)})
    evaluator = Evaluator(model, batches)
    blind = np.ones((N + 1, N + 1))
    best = searches.exhaustive(Evaluator(model, batches), 2).rows[0]
    found = searches.comflp(blind, evaluator, 2, conf).rows[0]
    assert (found.error, found.loss) == (best.error, best.loss)


def test_low_rank_correlation_warns(caplog):
    rows = [searches.Row((i,), 0.9 - i / 10, 0.9 - i / 10, 1.0) for i in range(5)]
    with caplog.at_level(logging.INFO):
        searches.warn_if_blind(rows)
        assert caplog.records[-1].levelname == "WARNING"
        assert "-1.00" in caplog.text
        searches.warn_if_blind([r._replace(error=-r.error) for r in rows])
    assert caplog.records[-1].levelname == "INFO"
    assert searches.rank_correlation(rows[:2]) is None


def test_rules():
    assert searches.truncate(12, 4) == (9, 10, 11, 12)
    assert searches.alternate(12, 6) == (2, 4, 6, 8, 10, 12)
    for number in range(2, 15):
        for m in range(1, number):
            removed = searches.alternate(number, m)
            assert len(set(removed)) == m and set(removed) <= set(range(1, number + 1))
    conf = LayersConf.from_dict({"search": "random"})
    first = searches.search(conf, 3, 8, seed=1)
    assert first == searches.search(conf, 3, 8, seed=1) and first.evaluations == 0


def test_resume_after_a_kill(case, tmp_path):
    model, config, folder, _ = case
    table = tmp_path / "tried.tsv"

    def evaluator():
        return make_evaluator(
            model, config, folder / "model.pth", table, metric="cer", max_utts=3
        )

    whole = searches.iterative(evaluator(), 2)
    text = table.read_text()
    assert text.count("\n") == 2 + N + N - 1
    table.write_text(text[: text.rindex("\n", 0, len(text) - 20) + 9])  # half a line
    again = evaluator()
    found = searches.iterative(again, 2)
    assert found == whole and 0 < again.blocks_run < again.blocks_naive + 1
    assert table.read_text().count("\n") == text.count("\n")
    # results of other data are put aside, not mixed in
    other = make_evaluator(
        model, config, folder / "model.pth", table, metric="cer", max_utts=2
    )
    assert len(other.tried) == 0 and (tmp_path / "tried.tsv.old").exists()


def test_table_of_something_else(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("# x\nhello\n")
    with pytest.raises(UserError, match="t.tsv"):
        Tried(path, "x")
    path.write_text("# x\nremoved\tblocks_removed\terror\tctc_loss\n1,a\t1\t0\t0\n")
    with pytest.raises(UserError, match="line 3"):
        Tried(path, "x")


def test_bad_data(case, tmp_path):
    _, config, folder, _ = case
    valid = config["valid_data_path_and_name_and_type"]
    with pytest.raises(UserError, match="shares 8 utterances"):
        load_batches(config, config["train_data_path_and_name_and_type"])
    with pytest.raises(UserError, match="no 'text'"):
        load_batches(config, valid[:1])
    with pytest.raises(UserError, match="missing"):
        load_batches(config, [valid[0], [str(tmp_path / "t"), "text", "text"]])
    (tmp_path / "t").write_text("nobody A\n")
    with pytest.raises(UserError, match="labels no utterance"):
        load_batches(config, [valid[0], [str(tmp_path / "t"), "text", "text"]])
    with pytest.raises(UserError, match="did you mean 'wer'"):
        load_batches(config, metric="were")


@pytest.mark.parametrize(
    "conf, text",
    [
        ({"serach": "comflp"}, "did you mean 'search'"),
        ({"search": "itertive"}, "did you mean 'iterative'"),
        ({"top_k": 0}, "top_k is 0, must be above 0"),
        ({"search": "comflp", "depth_table": True}, "depth_table"),
    ],
)
def test_bad_conf(conf, text):
    with pytest.raises(UserError, match=text):
        LayersConf.from_dict(conf)


def test_number_of_blocks(case):
    model, _, _, batches = case
    for m in (0, N, N + 3):
        with pytest.raises(UserError, match="num_remove"):
            searches.search(LayersConf(), m, N)
    with pytest.raises(UserError, match="no block 9"):
        Evaluator(model, batches)((9,))


def test_a_budget_becomes_a_number_of_blocks(case):
    from espnet_prune import Structure, cost
    from espnet_prune.select.budget import Budget
    from espnet_prune.select.layers.asked import number_to_remove

    dense = Structure.dense(case[0].encoder)
    full = cost(dense, 1000)
    for kind in ("params", "macs"):
        for m in (1, 2, 4):
            kept = dense.with_widths({"kept_blocks": list(range(N - m))})
            share = 1 - getattr(cost(kept, 1000), kind) / getattr(full, kind)
            for wanted in (share, share - 0.01):
                budget = Budget.of(kind, wanted - 1e-9)
                assert number_to_remove(dense, None, budget) == m
    with pytest.raises(UserError, match="more than 4 of 5 blocks .* use method l0"):
        number_to_remove(dense, None, Budget.of("params", 0.99))
    with pytest.raises(UserError, match="either num_remove or a budget"):
        number_to_remove(dense, 2, Budget.of("params", 0.5))
