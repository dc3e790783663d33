# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gates under a budget of several targets: one multiplier each."""

import json

import pytest
import torch

from espnet_prune import attach_gates, cut
from espnet_prune.measure.cost import PARTS, CostModel
from espnet_prune.select.l0.lagrangian import Lagrangian
from test.espnet_prune.encoder_zoo import MEL, build
from test.espnet_prune.select.test_gates import train

BY_PART = {"kind": "params", "cnn": 0.4, "transformer": 0.6, "frames": 200}
BOTH = [
    {"kind": "params", "sparsity": 0.5},
    {"kind": "macs", "sparsity": 0.5, "frames": 200},
]
WIDE = dict(output_size=32, linear_units=96)  # a finer grid than the smallest


@pytest.mark.parametrize("budget", [BY_PART, BOTH, dict(BY_PART, kind="macs")])
def test_every_target_is_reached(budget, tmp_path):
    encoder = build("latest", **WIDE)
    gates = attach_gates(encoder, budget=budget, ramp_steps=100, log_interval=50)
    gates.log_to(tmp_path / "select.jsonl")
    targets = [target.sparsity for target in gates.budget]
    train(gates, encoder, 220, pull=0.5)
    assert gates.lagrangian.one_sided == [False, False]
    # each is led to its target, whatever the task pulls
    assert gates.sparsity().tolist() == pytest.approx(targets, abs=0.03)
    structure = gates.structure()
    reached = gates.budget.reached(gates.graph.dense, structure)
    assert all(t <= r for t, r in zip(targets, reached))
    assert min(r - t for t, r in zip(targets, reached)) <= 0.01
    x, lengths = torch.randn(2, 50, MEL), torch.tensor([50, 33])
    expected = encoder(x, lengths)[0]
    small = cut(encoder, structure, gates)
    assert torch.allclose(small(x, lengths)[0], expected, atol=1e-5)

    lines = (tmp_path / "select.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 50, 100, 150, 200]
    last = json.loads(lines[-1])
    for name, target in zip(gates.budget.names, targets):
        assert last[f"target_{name}"] == target
        assert last[f"reached_{name}"] == pytest.approx(target, abs=0.04)
        assert f"multiplier_{name}" in last


def test_open_gates_remove_nothing_of_any_part():
    gates = attach_gates(build("latest"), budget=BY_PART, drop=1e-9, clamp=30.0)
    with torch.no_grad():
        gates.theta.fill_(30.0)
    assert gates.sparsity().abs().max() < 1e-9


def test_expected_cost_of_every_part_is_the_mean_of_drawn_costs():
    gates = attach_gates(build("latest"), budget=dict(BY_PART, kind="macs"), drop=0.6)
    model = CostModel(gates.graph.dense, 200)
    full = [model.exact({}, part).macs for part in PARTS]
    drawn = []
    for step in range(400):
        gates.lagrangian.step.fill_(step)
        gates.epoch_end()
        gates.train_step_begin()
        counts = {k: int((v > 0).sum()) for k, v in gates.hooks.values.items()}
        costs = [model.exact(counts, part).macs for part in PARTS]
        drawn.append([1 - cost / n for cost, n in zip(costs, full)])
    drawn = torch.tensor(drawn)
    error = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - gates.sparsity()).abs() < 3 * error).all()


def test_a_target_moves_the_gates_of_its_part_only():
    gates = attach_gates(build("latest"), budget=BY_PART)
    for i, part in enumerate(PARTS):
        (gradient,) = torch.autograd.grad(gates.sparsity()[i], gates.theta)
        for name, values in zip(gates.names, gradient.split(gates.controller.sizes)):
            own = name.startswith("embed.") == (part == "front")
            assert (values < 0).all() if own else (values == 0).all()


def test_a_part_without_a_target_has_no_gates():
    encoder = build("latest")
    gates = attach_gates(encoder, budget={"kind": "params", "transformer": 0.5})
    assert not [name for name in gates.names if name.startswith("embed.")]
    gates.detach_hooks()
    gates = attach_gates(encoder, budget={"kind": "params", "cnn": 0.5})
    assert all(name.startswith("embed.") for name in gates.names)
    assert set(gates.regulariser()[1]) == {"sparsity", "target", "multiplier"}


def test_multipliers_go_on_after_a_resume():
    encoder = build("latest")
    gates = attach_gates(encoder, budget=BY_PART, ramp_steps=62)
    train(gates, encoder, 30)
    other = attach_gates(build("latest"), budget=BY_PART, ramp_steps=62)
    other.load_state_dict(gates.state_dict(), strict=True)
    assert torch.equal(other.lagrangian.multiplier, gates.lagrangian.multiplier)
    assert len(set(gates.lagrangian.multiplier.tolist())) == 2
    assert other.lagrangian.targets() == gates.lagrangian.targets()


def test_a_target_that_another_implies_never_holds_gates_open():
    encoder = build("latest", **WIDE)
    budget = [{"kind": "params", "sparsity": 0.6}, dict(BOTH[1], sparsity=0.05)]
    gates = attach_gates(encoder, budget=budget, ramp_steps=100)
    assert gates.lagrangian.one_sided == [False, True]
    train(gates, encoder, 200, pull=0.5)
    params, macs = gates.sparsity().tolist()
    assert params == pytest.approx(0.6, abs=0.03)
    assert macs > 0.05


def test_a_one_sided_multiplier():
    lagrangian = Lagrangian([0.5, 0.5], [False, True], ramp_steps=62)
    lagrangian.step.fill_(62.0)
    less = torch.tensor([0.45, 0.45], requires_grad=True)
    gradient = torch.autograd.grad(lagrangian.loss(less), less)[0]
    assert gradient[0] == gradient[1] < 0  # too little is gone: both close gates
    lagrangian.after_step(less.detach())
    assert lagrangian.multiplier[0] == lagrangian.multiplier[1] < 0
    more = torch.tensor([0.59, 0.59], requires_grad=True)
    gradient = torch.autograd.grad(lagrangian.loss(more), more)[0]
    assert gradient[0] > 0 and gradient[1] == 0
    for _ in range(10):
        lagrangian.after_step(more.detach())
    assert lagrangian.multiplier[0] > 0 and lagrangian.multiplier[1] == 0


def test_a_large_violation_is_integrated_up_to_its_limit():
    lagrangian = Lagrangian([0.6], ramp_steps=62, dual_rate=0.5, violation_limit=0.1)
    lagrangian.step.fill_(62.0)
    for reached in (0.3, 0.56, 0.9):  # far too little, a little too little, too much
        lagrangian.after_step(torch.tensor([reached]))
    expected = 0.5 * (-0.1 - 0.04 + 0.1)
    assert float(lagrangian.multiplier) == pytest.approx(expected, abs=1e-6)
