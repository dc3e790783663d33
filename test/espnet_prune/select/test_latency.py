# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Selections within milliseconds: which table counts, and what it decides."""

import argparse

import pytest

from espnet_prune import UserError, attach_gates, cost, unit_graph
from espnet_prune.measure import latency_fit
from espnet_prune.measure.latency_table import LatencyTable
from espnet_prune.select.conf import add_options, read_conf
from espnet_prune.select.plan import Plan
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import HYBRID, make_model
from test.espnet_prune.encoder_zoo import build
from test.espnet_prune.tables import OVERHEAD, table_of


def plan_of(tmp_path, budget, *more, config=HYBRID):
    write_yaml({"method": "magnitude", "budget": budget}, tmp_path / "select.yaml")
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = parser.parse_args(["--config", str(tmp_path / "select.yaml"), *more])
    return Plan.of(read_conf(options), make_model(config), config, options)


@pytest.fixture(scope="module")
def dense():
    return unit_graph(make_model(HYBRID).encoder).dense


def test_a_plan_takes_the_table_that_is_given(tmp_path, dense):
    """--latency comes before that of the budget; the model is priced by it."""
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    table_of(dense).save(first)
    table_of(dense, dense_ms=7.0).save(second)
    budget = {"kind": "ms", "sparsity": 0.4, "latency": str(first)}
    plan = plan_of(tmp_path, budget)
    assert plan.latency == LatencyTable.load(first)
    assert plan.pricing.full == [pytest.approx(plan.latency.dense_ms)]
    assert plan_of(tmp_path, budget, "--latency", str(second)).latency.dense_ms == 7.0
    (target,) = Plan.of(plan.conf, plan.model, plan.config, plan.options).budget
    assert target.latency == str(first.resolve())


def test_a_whole_model_may_have_milliseconds_beside(tmp_path, dense):
    table_of(dense).save(tmp_path / "a.json")
    both = [{"kind": "ms", "front": 0.2}, {"of": "model", "sparsity": 0.3}]
    plan = plan_of(tmp_path, both, "--latency", str(tmp_path / "a.json"))
    assert plan.root is plan.model
    assert plan.pricing.full[0] == cost(plan.latency.timed(dense), 1000, "front").ms


def test_a_table_is_made_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(latency_fit, "MOST", latency_fit.LEAST)
    out = tmp_path / "out"
    budget = {"kind": "ms", "sparsity": 0.4, "seconds": 2}
    plan = plan_of(tmp_path, budget, "--output_dir", str(out))
    table = LatencyTable.load(out / "latency.json")
    assert (table.frames, table.seconds) == (200, 2.0)
    assert plan.budget.targets[0].latency == str((out / "latency.json").resolve())
    with pytest.raises(UserError, match="on 1 thread.s., and the budget is one of 3"):
        plan_of(tmp_path, {**budget, "threads": 3}, "--output_dir", str(out))


def test_a_table_that_is_given_must_be_there(tmp_path):
    with pytest.raises(UserError, match="lost.json: no such file"):
        plan_of(tmp_path, {"kind": "ms"}, "--latency", str(tmp_path / "lost.json"))
    with pytest.raises(UserError, match="needs a table"):
        plan_of(tmp_path, {"kind": "ms"})


def test_gates_expect_milliseconds(tmp_path):
    """A module that is shut gives its overhead back; gradients say so."""
    encoder = build("latest")
    dense = unit_graph(encoder).dense
    table_of(dense, 200).save(tmp_path / "a.json")
    own = {"kind": "ms", "frames": 200, "latency": str(tmp_path / "a.json")}
    gates = attach_gates(encoder, budget={**own, "sparsity": 0.3}, units=["module"])
    full = LatencyTable.load(tmp_path / "a.json").dense_ms
    (budget,) = gates.budget
    assert budget.sparsity == 0.3
    removed = gates.sparsity()
    removed.sum().backward()
    assert (gates.theta.grad < 0).all()
    gates.lagrangian.step.fill_(1e6)
    kept = cost(gates.graph.structure(gates.masks()), 200).ms
    assert 0.7 * full - 2 * OVERHEAD < kept <= 0.7 * full
    # a corrected budget takes the same gates, which stay as they are
    fewer = gates.masks_within(gates.budget.with_sparsity([0.45]))
    assert cost(gates.graph.structure(fewer), 200).ms <= 0.55 * full < kept
    assert cost(gates.graph.structure(gates.masks()), 200).ms == kept
    with pytest.raises(UserError, match="needs a table"):
        attach_gates(build("latest"), budget={"kind": "ms"})
