# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Milliseconds as a price: what rows mean, which tables fit, and what is measured."""

import json
import random

import pytest
import torch

from espnet_prune import Structure, UserError, cost, unit_graph
from espnet_prune.measure import latency_fit
from espnet_prune.measure.latency_fit import draw, fit, measure_table, shrunk
from espnet_prune.measure.latency_table import LatencyTable, load_or_measure
from test.espnet_prune.encoder_zoo import MEL, SPEECH, VARIANTS, build, build_speech
from test.espnet_prune.tables import OVERHEAD, UNIT, table_of


def ms_of(structure, part="encoder"):
    return cost(structure, 400, part).ms


@pytest.fixture(scope="module")
def dense():
    return unit_graph(build("latest")).dense


def test_a_module_costs_its_overhead_and_its_units(dense):
    timed = table_of(dense, 400).timed(dense)
    blocks = dense["encoder"].blocks
    full, (first, *others) = ms_of(timed), blocks["linear_units"]
    narrower = timed.with_widths({"linear_units": [first - 3, *others]})
    assert full - ms_of(narrower) == pytest.approx(3 * UNIT)
    without = timed.with_widths({"linear_units": [0, *others]})
    assert full - ms_of(without) == pytest.approx(first * UNIT + OVERHEAD)
    lost = timed.with_widths({"kept_blocks": dense["encoder"].kept_blocks[1:]})
    units = sum(counts[0] for counts in blocks.values())
    modules = sum(counts[0] > 0 for counts in blocks.values())
    assert full - ms_of(lost) == pytest.approx(units * UNIT + (modules + 1) * OVERHEAD)


def test_channels_that_meet_are_multiplied(dense):
    timed = table_of(dense, 400).timed(dense)
    a, b = dense["encoder"].front["subsampling_channels"]
    fewer = timed.with_widths({"subsampling_channels": [a - 1, b]})
    assert ms_of(timed) - ms_of(fewer) == pytest.approx(UNIT * (1 + b))
    assert ms_of(timed, "front") == pytest.approx(OVERHEAD + UNIT * (a + b + a * b))
    parts = [ms_of(timed, part) for part in ("front", "blocks")]
    assert sum(parts) == pytest.approx(ms_of(timed))


def test_a_price_remembers_its_milliseconds(dense, tmp_path):
    timed = table_of(dense, 400).timed(dense)
    timed.save(tmp_path / "structure.json")
    assert ms_of(Structure.load(tmp_path / "structure.json")) == ms_of(timed) > 0
    assert cost(timed, 400) == cost(dense, 400)  # nothing else has changed
    again = table_of(dense, 400).timed(timed)
    assert ms_of(again) == pytest.approx(ms_of(timed))


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"threads": 2}, "on 2 thread.s., and the budget is one of 1; .* --threads 1"),
        ({"frames": 800}, "for 800 input frames .10 s., and .* 400; .* --seconds 5"),
        (
            {"runtime": "onnx"},
            "runtime 'onnx', and the budget is one of 'torch'; .* --runtime torch",
        ),
        ({"params": 7}, "an encoder of 7 parameters and .* espnet-prune latency"),
        ({"macs": 7}, "parameters and 7 MACs, and this one has"),
        ({"rows": {"once": 1.0}}, "or other kinds of units"),
    ],
)
def test_tables_of_something_else(dense, tmp_path, changes, words):
    path = tmp_path / "latency.json"
    own = {"frames": 400, "dense_ms": 9.0, **changes}
    table = table_of(dense, 400)
    for key, value in own.items():
        setattr(table, key, value)
    table.save(path)
    with pytest.raises(UserError, match=words) as caught:
        LatencyTable.load(path).check(dense, 400, 1, str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    table_of(dense, 400).check(dense, 400, 1, str(path))


@pytest.mark.parametrize(
    "change,words",
    [
        ({"rows": {"a": "b"}}, "rows must say milliseconds"),
        ({"rows": {"a": -1.0}}, "must be 0 or more"),
        ({"dense_ms": None}, "dense_ms is None, must be a number"),
        ({"speed": 1}, "unknown key 'speed'"),
    ],
)
def test_damaged_tables(dense, tmp_path, change, words):
    path = tmp_path / "latency.json"
    table_of(dense, 400).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=words):
        LatencyTable.load(path)


def test_the_fit_finds_overhead_and_slope_among_disturbed_runs():
    rng = random.Random(0)
    points = []
    for i in range(60):
        there, units = rng.randint(1, 4), rng.randint(0, 200)
        ms = 3.0 * there + 0.05 * units
        points.append(({"m": there, "u": units, "n": 5}, ms * (4 if i % 6 == 0 else 1)))
    found = fit(points)
    assert found["m"] == pytest.approx(3.0, rel=0.05)
    assert found["u"] == pytest.approx(0.05, rel=0.05)
    assert all(ms >= 0 for ms in found.values())


@pytest.mark.parametrize("variant", [*VARIANTS, *SPEECH])
def test_every_variant_can_be_measured(variant, monkeypatch):
    """All rows that a selection may need are there, and times are divided up."""
    monkeypatch.setattr(latency_fit, "LEAST", 3)
    encoder = build_speech(variant) if variant in SPEECH else build(variant)
    dense = unit_graph(encoder).dense
    table = measure_table(encoder, 100, 1.0, budget=0.0)
    table.check(dense, 100, 1, "here")
    timed = table.timed(dense)
    parts = [cost(timed, 100, part).ms for part in ("front", "blocks")]
    assert parts[1] > 0 and table.dense_ms > 0 and table.structures == 3
    assert (parts[0] > 0) == any(v.block is None for v in dense_vectors(dense))
    assert table.here()
    assert len(table.summary(dense).splitlines()) == 3 + len(table.rows)


def dense_vectors(dense):
    return dense["encoder"].price.vectors.values()


def test_wider_takes_longer(monkeypatch):
    """The measurement sees what is slow, and its rows add up to the whole."""
    encoder = build("latest", output_size=64, linear_units=1024)
    dense = unit_graph(encoder).dense
    table = measure_table(encoder, 1000, 10.0, budget=3.0)
    timed, rows = table.timed(dense), table.rows
    assert cost(timed, 1000).ms == pytest.approx(table.dense_ms, rel=0.3)
    assert rows["blocks: linear_units"] > 0
    assert rows["blocks: module of linear_units"] > 0


def test_a_smaller_copy_runs(dense):
    encoder = build("latest")
    structure = draw(dense, random.Random(1))
    small = shrunk(encoder, structure)
    assert cost(small, 400) == cost(structure, 400)
    small(torch.randn(1, 100, MEL), torch.tensor([100]))
    assert structure.widths() != dense.widths()


def test_a_table_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(latency_fit, "LEAST", 3)
    encoder, path = build("latest"), tmp_path / "new" / "latency.json"
    config = {"frontend": None}
    first = load_or_measure(encoder, config, path, seconds=2.0, budget=0.0)
    assert load_or_measure(encoder, config, path, seconds=2.0, budget=0.0) == first
    with pytest.raises(UserError, match="measured for 200 input frames"):
        load_or_measure(encoder, config, path, seconds=3.0, budget=0.0)
