# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Milliseconds hold as they are measured, whatever the table says."""

import json

import pytest

from espnet_prune import cost, unit_graph
from espnet_prune.bin import select
from espnet_prune.measure.latency_ratio import shares_of_time
from espnet_prune.measure.latency_table import (
    described,
    device_name,
    runtime_version,
)
from espnet_prune.select import correction
from espnet_prune.select.correction import corrected, with_room
from espnet_prune.utils import read_json, write_yaml
from test.espnet_prune.deep import HYBRID, make_model, write_model
from test.espnet_prune.encoder_zoo import build
from test.espnet_prune.select.test_latency import plan_of
from test.espnet_prune.tables import table_of

# large enough that one unit is well below the tolerance
CONF = {**HYBRID["encoder_conf"], "linear_units": 200, "num_blocks": 3}
CONFIG = {**HYBRID, "encoder_conf": CONF}


@pytest.fixture(scope="module")
def dense():
    return unit_graph(make_model(CONFIG).encoder).dense


def table(dense, slower=1.0, **changes):
    """Return a table in which units count, not modules; and some take longer."""
    found = table_of(dense, **changes)
    for name in found.rows:
        found.rows[name] *= slower if "linear_units" in name else 1
        found.rows[name] *= 0.1 if found.rows[name] > 1 else 1
    found.dense_ms = cost(found.timed(dense), 1000, "encoder").ms
    return found


@pytest.fixture
def machine(dense, monkeypatch):
    """A machine on which feed-forward units take three times what the table says."""
    true, measured = table(dense, 3.0), []

    def shares(encoder, structure, frames, threads, runtime, **more):
        assert runtime == "torch"
        own = true.timed(dense.with_widths(structure["encoder"].widths()))
        measured.append(structure)
        parts = ("front", "blocks", "encoder")
        both = [
            (part, cost(own, 1000, part).ms, cost(true.timed(dense), 1000, part).ms)
            for part in parts
        ]
        return {part: kept / full for part, kept, full in both}

    monkeypatch.setattr(correction, "shares_of_time", shares)
    return measured


def given(tmp_path, dense, budget, **changes):
    here = dict(device=device_name(), version=runtime_version())
    table(dense, **{**here, **changes}).save(tmp_path / "latency.json")
    own = ("--latency", str(tmp_path / "latency.json"))
    return plan_of(tmp_path, budget, *own, config=CONFIG)


@pytest.mark.parametrize(
    "budget",
    [
        {"kind": "ms", "sparsity": 0.5},
        {"kind": "ms", "sparsity": 0.3},
        {"kind": "ms", "front": 0.4, "blocks": 0.5},
    ],
)
def test_what_is_measured_holds(tmp_path, dense, machine, budget):
    plan = given(tmp_path, dense, budget)
    first = plan.method.run(plan)
    found = corrected(plan, first)
    rows = found.record["ms"]
    assert [row["part"] for row in rows] == [t.part for t in plan.budget]
    for row, target in zip(rows, plan.budget):
        assert row["measured"] == pytest.approx(row["limit"], rel=0.03)
        assert row["limit"] == pytest.approx((1 - target.sparsity) * row["dense"])
    assert len(machine) > 1 and found.structure != first.structure
    reached = found.record["reached"]
    for share, row in zip(reached.values() if len(rows) > 1 else [reached], rows):
        assert share == pytest.approx(1 - row["measured"] / row["dense"])
    assert found.record["budget"] == plan.budget.conf()


def test_a_table_that_is_right_is_believed(tmp_path, dense, machine, monkeypatch):
    plan = given(tmp_path, dense, {"kind": "ms", "limit": 8})
    monkeypatch.setattr(
        correction,
        "shares_of_time",
        lambda _, kept, *more, **how: {
            "encoder": cost(kept, 1000, "encoder").ms / plan.latency.dense_ms
        },
    )
    first = plan.method.run(plan)
    assert corrected(plan, first) is first
    (row,) = first.record["ms"]
    assert row["limit"] == 8 and row["measured"] == pytest.approx(row["predicted"])


def test_another_target_may_bind(tmp_path, dense, machine):
    """What is within the milliseconds anyway is left as it is."""
    both = [{"kind": "ms", "sparsity": 0.05}, {"kind": "params", "sparsity": 0.6}]
    plan = given(tmp_path, dense, both)
    first = plan.method.run(plan)
    found = corrected(plan, first)
    assert found.structure == first.structure
    assert found.record["ms"][0]["measured"] < found.record["ms"][0]["limit"]
    assert found.record["reached"]["params"] == pytest.approx(0.6, abs=0.01)


def test_another_device_is_not_measured(tmp_path, dense, machine, caplog):
    plan = given(tmp_path, dense, {"kind": "ms", "sparsity": 0.5}, device="abacus")
    found = corrected(plan, plan.method.run(plan))
    (row,) = found.record["ms"]
    assert row["measured"] is None and not machine
    assert 0.9 * row["limit"] < row["predicted"] <= row["limit"]
    assert (
        "of abacus, torch" in caplog.text and "cannot be measured here" in caplog.text
    )
    assert "not measured" in described([row])


def test_room_is_left_for_a_correction(tmp_path, dense):
    plan = given(tmp_path, dense, [{"kind": "ms", "sparsity": 0.5}, {"kind": "macs"}])
    ms, macs = with_room(plan)
    assert ms.sparsity > 0.53 and macs.sparsity == 0.5
    far = given(tmp_path, dense, {"kind": "ms", "sparsity": 0.9})
    most = far.pricing.floor(far.kinds)[0] / far.pricing.full[0]
    near = {"kind": "ms", "sparsity": 1 - most - 1e-3}
    assert (
        with_room(given(tmp_path, dense, near)).targets[0].sparsity == 1 - most - 1e-3
    )


def test_a_selection_says_it(tmp_path, dense, machine, capsys):
    """structure.json and stdout have limit, predicted, measured."""
    own = write_model(tmp_path / "exp", CONFIG)
    here = dict(device=device_name(), version=runtime_version())
    table(dense, **here).save(tmp_path / "latency.json")
    write_yaml({"method": "magnitude", "budget": {"kind": "ms"}}, tmp_path / "c.yaml")
    own += ["--config", str(tmp_path / "c.yaml"), "--output_dir", str(tmp_path / "out")]
    select.main([*own, "--latency", str(tmp_path / "latency.json")])
    (row,) = json.loads(capsys.readouterr().out)["ms"]
    assert row["measured"] == pytest.approx(row["limit"], rel=0.03)
    record = read_json(tmp_path / "out" / "structure.json")["provenance"]
    assert record["ms"] == [row]


def test_a_smaller_encoder_takes_a_smaller_share():
    """Measured, not predicted: half of the blocks is about half of their time."""
    encoder = build("latest", output_size=64, linear_units=1024, num_blocks=6)
    dense = unit_graph(encoder).dense
    half = dense.with_widths({"kept_blocks": dense["encoder"].kept_blocks[:3]})
    same = shares_of_time(encoder, dense, 600, seconds=1.0)
    assert same["encoder"] == pytest.approx(1.0, abs=0.1)
    shares = shares_of_time(encoder, half, 600, seconds=1.0)
    assert shares["blocks"] == pytest.approx(0.5, abs=0.1)
    assert shares["front"] == pytest.approx(1.0, abs=0.15)
    assert shares["blocks"] < shares["encoder"] < shares["front"]
