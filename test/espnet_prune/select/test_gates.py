# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import copy
import json

import pytest
import torch

from espnet_prune import UserError, attach_gates, cost, cut
from espnet_prune.measure.cost import CostModel
from test.espnet_prune.encoder_zoo import MEL, build

BUDGET = {"kind": "params", "sparsity": 0.5, "frames": 200}


def batch():
    return torch.randn(2, 50, MEL), torch.tensor([50, 33])


def train(gates, encoder, steps, pull=0.0):
    optimizer = torch.optim.Adam(gates.parameters(), lr=gates.gate_lr)
    encoder.train(), gates.train()
    for _ in range(steps):
        gates.train_step_begin()
        loss, _ = gates.regulariser()
        # as a task would: open gates are worth something
        values = torch.cat(list(gates.hooks.values.values()))
        (loss - pull * values.mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        gates.after_step()
    encoder.eval(), gates.eval()


@pytest.mark.parametrize("kind", ["params", "macs"])
def test_budget_is_reached_exactly(kind):
    encoder = build("latest")
    gates = attach_gates(encoder, budget=dict(BUDGET, kind=kind), ramp_steps=100)
    train(gates, encoder, 200, pull=0.5)
    assert gates.sparsity().tolist() == pytest.approx([0.5], abs=0.03)
    full = getattr(cost(encoder, 200), kind)
    kept = getattr(cost(gates.structure(), 200), kind)
    # one head of this toy is 3 % of it, so the grid is coarser than the promise
    assert 0.46 <= kept / full <= 0.5
    x, lengths = batch()
    expected = encoder(x, lengths)[0]
    small = cut(encoder, gates.structure(), gates)
    assert torch.allclose(small(x, lengths)[0], expected, atol=1e-5)
    assert not [k for k in small.state_dict() if "gate" in k or "mask" in k]


@pytest.mark.parametrize(
    "units",
    [
        ["ffn_unit"],
        ["conv_channel", "head"],
        ["head", "ffn_unit", "conv_channel", "module"],
        ["module"],
    ],
)
@pytest.mark.parametrize("mask", ["soft", "hard"])
def test_gated_equals_cut_whichever_units_have_gates(units, mask):
    """A module that has lost all its units is gone, its last bias with it."""
    encoder = build("latest", num_blocks=4)
    budget = dict(BUDGET, sparsity=0.1)
    gates = attach_gates(encoder, budget=budget, units=units, mask=mask)
    closed = ("0.feed_forward", "1.conv_module", "2.self_attn")
    with torch.no_grad():
        for name, theta in zip(gates.names, gates.theta.split(gates.controller.sizes)):
            # a module's own gate stays open, if its units have gates
            gone = (gates.graph[name].kind == "module") == (units == ["module"])
            gone = gone and any(word in name for word in closed)
            theta.fill_(-6.0 if gone else 5.0)
    gates.lagrangian.step.fill_(1e6)
    structure = gates.structure()
    assert 0 in [n for _, counts in structure["encoder"].fields() for n in counts]
    small = cut(encoder, structure, gates)
    x, lengths = batch()
    assert torch.allclose(encoder(x, lengths)[0], small(x, lengths)[0], atol=1e-5)
    # and so it is while training, where masks are drawn
    gates.train_step_begin()
    drawn = gates.hooks.values
    for unit in gates.graph:
        if unit.module is not None and unit.name in gates.names:
            assert drawn[unit.name].any() or not drawn[unit.module].any()
    assert all(value.requires_grad for n, value in drawn.items() if n in gates.names)


def test_open_gates_change_nothing_and_cost_everything():
    encoder = build("latest")
    x, lengths = batch()
    before = encoder(x, lengths)[0]
    gates = attach_gates(encoder, budget=BUDGET, mask="hard", drop=1e-9, clamp=30.0)
    assert torch.equal(encoder(x, lengths)[0], before)
    with torch.no_grad():
        gates.theta.fill_(30.0)
    assert abs(float(gates.sparsity().detach())) < 1e-9
    gates.detach_hooks()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.modules())


def test_expected_cost_is_the_mean_of_drawn_costs():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=dict(BUDGET, kind="macs"), drop=0.6)
    model = CostModel(gates.graph.dense, 200)
    drawn = []
    for step in range(400):
        gates.lagrangian.step.fill_(step)
        gates.epoch_end()
        gates.train_step_begin()
        counts = {k: int((v > 0).sum()) for k, v in gates.hooks.values.items()}
        drawn.append(1 - model.exact(counts).macs / model.exact({}).macs)
    drawn = torch.tensor(drawn)
    error = float(drawn.std()) / len(drawn) ** 0.5
    assert abs(float(drawn.mean()) - float(gates.sparsity().detach())) < 3 * error


def test_every_gate_feels_the_budget():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET)
    gates.sparsity().backward()
    assert (gates.theta.grad < 0).all()  # opening a gate lowers the sparsity


def test_too_little_sparsity_closes_gates():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET, ramp_steps=100)
    gates.lagrangian.step.fill_(100.0)
    loss, stats = gates.regulariser()
    loss.backward()
    assert stats["sparsity"] < stats["target"]
    assert (gates.theta.grad > 0).all()  # descent moves theta down
    gates.after_step()
    assert float(gates.lagrangian.multiplier) < 0


def test_masks_are_the_same_after_a_resume():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET, seed=3, ramp_steps=100)
    train(gates, encoder, 7)
    state = copy.deepcopy(gates.state_dict())
    noise = torch.get_rng_state()
    gates.train_step_begin()
    assert torch.equal(torch.get_rng_state(), noise)  # no other stream is shifted
    first = {k: v.detach().clone() for k, v in gates.hooks.values.items()}
    gates.train_step_begin()
    assert any(not torch.equal(first[k], v) for k, v in gates.hooks.values.items())

    other = attach_gates(build("latest"), budget=BUDGET, seed=3, ramp_steps=100)
    other.load_state_dict(state, strict=True)
    other.train_step_begin()
    assert all(torch.equal(first[k], v) for k, v in other.hooks.values.items())
    assert float(other.lagrangian.multiplier) == float(gates.lagrangian.multiplier)


def test_eval_masks_are_stable():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET, ramp_steps=50, gate_lr=0.3)
    train(gates, encoder, 80, pull=0.2)
    first = gates.masks()
    encoder.train(), encoder(*batch())
    encoder.eval(), encoder(*batch())
    gates.train(), gates.train_step_begin(), gates.eval()
    other = attach_gates(build("latest"), budget=BUDGET, ramp_steps=50, gate_lr=0.3)
    other.masks()  # a cached mask must not survive the loading
    other.load_state_dict(gates.state_dict())
    for again in (gates.masks(), other.masks(), copy.deepcopy(gates).masks()):
        assert all(torch.equal(first[k], again[k]) for k in first)


def test_log_has_no_lines_from_beyond_a_resume(tmp_path):
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET, ramp_steps=100, log_interval=2)
    gates.log_to(tmp_path / "select.jsonl")
    train(gates, encoder, 5)
    with open(tmp_path / "select.jsonl", "a") as stream:
        stream.write('{"step": 4, "tar')
    gates.lagrangian.step.fill_(4.0)
    gates.log_to(tmp_path / "select.jsonl")
    train(gates, encoder, 3)
    lines = (tmp_path / "select.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4, 6]


def test_half_precision_leaves_gates_alone():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gates.train_step_begin()
        loss, _ = gates.regulariser()
        out = encoder.train()(*batch())[0]
    assert loss.dtype == torch.float32
    assert all(v.dtype == torch.float32 for v in gates.hooks.values.values())
    (out.float().sum() + loss).backward()
    assert torch.isfinite(gates.theta.grad).all()


def test_blocks_that_do_nothing_are_known():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BUDGET)
    gates.hooks.values = {
        unit.name: torch.zeros(unit.size)
        for unit in gates.graph
        if "encoders.1" in unit.name
    }
    assert gates.block_exists().tolist() == [True, False]


@pytest.mark.parametrize(
    "conf,words",
    [
        (dict(budget={"kind": "params", "sparsty": 0.5}), "sparsity"),
        (dict(budget={"kind": "flops"}), "flops"),
        (dict(budget={"sparsity": 1.5}), "between 0 and 1"),
        (dict(budget={"sparsity": 0.99}), "at most"),
        (dict(budget={"sparsity": 0.9}, units=("head",)), "not pruned"),
        (dict(units=("heads",)), "did you mean 'head'"),
        (dict(ramp_steps=10, gate_lr=0.1), "at least 124 steps"),
        (dict(mask="harder"), "soft or hard"),
    ],
)
def test_bad_input(conf, words):
    with pytest.raises(UserError, match=words):
        attach_gates(build("latest"), **conf)
