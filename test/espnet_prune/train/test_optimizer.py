# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gates are moved by Adam, whatever moves the weights."""

import json

import pytest
import torch

from espnet_prune.train.optimizer import WithAdam
from espnet_prune.utils import UserError
from test.espnet_prune.train.gated import L0, command, same

RULES = {
    "sgd": dict(lr=0.1, momentum=0.9),
    "adadelta": {},
    "adam": dict(lr=0.01),
    "adamw": dict(lr=0.01, weight_decay=0.5, fused=True),
    "adagrad": dict(lr=0.1),
}


def make(rule):
    """Return weights in two groups, a gate, and an optimiser of both."""
    from espnet2.tasks.abs_task import optim_classes

    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(3)) for _ in range(2)]
    gate = torch.nn.Parameter(torch.zeros(4))
    groups = [{"params": weights[:1]}, {"params": weights[1:], "weight_decay": 0.0}]
    own = optim_classes[rule](groups, **RULES[rule])
    return weights, gate, own


def walk(weights, gate, optimizers, first, last):
    for step in range(first, last):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = (weights[0] * step).square().sum() + weights[1].sin().sum()
        (loss + (gate * torch.arange(4.0)).sum() - (gate * step).sum()).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("rule", RULES)
def test_two_rules_in_one_equal_two_optimisers(rule):
    weights, gate, own = make(rule)
    walk(weights, gate, [WithAdam(own, [gate], 0.2)], 1, 6)
    other, other_gate, own = make(rule)
    walk(other, other_gate, [own, torch.optim.Adam([other_gate], lr=0.2)], 1, 6)
    assert torch.equal(gate, other_gate) and gate.abs().max() > 0.3
    assert all(torch.equal(a, b) for a, b in zip(weights, other))


@pytest.mark.parametrize("rule", RULES)
def test_its_state_goes_through_a_file(rule, tmp_path):
    weights, gate, own = make(rule)
    whole = WithAdam(own, [gate], 0.2)
    walk(weights, gate, [whole], 1, 3)
    saved = {"optim": whole.state_dict(), "own": [*weights, gate]}
    torch.save(saved, tmp_path / "x.pth")
    walk(weights, gate, [whole], 3, 6)
    other, other_gate, own = make(rule)
    resumed = WithAdam(own, [other_gate], 0.2)
    saved = torch.load(tmp_path / "x.pth", weights_only=True)
    with torch.no_grad():
        for parameter, value in zip([*other, other_gate], saved["own"]):
            parameter.copy_(value)
    resumed.load_state_dict(saved["optim"])
    walk(other, other_gate, [resumed], 3, 6)
    assert torch.equal(gate, other_gate)
    assert all(torch.equal(a, b) for a, b in zip(weights, other))


@pytest.mark.parametrize("rule", ["adadelta", "adam"])
def test_checkpoints_of_gates_under_the_rule_of_the_weights(rule):
    weights, gate, own = make(rule)
    own.add_param_group({"params": [gate], "lr": 0.2, "held_lr": 0.2})
    walk(weights, gate, [own], 1, 3)
    other, other_gate, fresh = make(rule)
    resumed = WithAdam(fresh, [other_gate], 0.2)
    if rule == "adam":
        resumed.load_state_dict(own.state_dict())
        moments = resumed.state[other_gate]["exp_avg"], own.state[gate]["exp_avg"]
        assert torch.equal(*moments)
    else:
        with pytest.raises(UserError, match="checkpoint.pth is of an earlier version"):
            resumed.load_state_dict(own.state_dict())


def test_schedulers_leave_the_gates_alone():
    from torch.optim import lr_scheduler

    weights, gate, own = make("adam")
    both = WithAdam(own, [gate], 0.2)
    for scheduler in (
        lr_scheduler.StepLR(both, 1, gamma=0.1),
        lr_scheduler.OneCycleLR(both, max_lr=0.3, total_steps=9),
        lr_scheduler.ReduceLROnPlateau(both, patience=0),
    ):
        for _ in range(4):
            rates = [group["lr"] for group in both.param_groups]
            walk(weights, gate, [both], 1, 2)
            plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
            scheduler.step(*([1.0] if plateau else []))
        first, second, held = both.param_groups
        assert first["lr"] == second["lr"] != rates[0]
        assert held["lr"] == 0.2 and held["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("with_gates", [True, False])
@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_amp_skips_is_not_counted(with_gates, fused, monkeypatch):
    from espnet_prune.train import trainer
    from espnet_prune.train.hooks import Run

    parameter = torch.nn.Parameter(torch.ones(3))
    gate = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter], fused=fused)
    if with_gates:
        optimizer = WithAdam(optimizer, [gate], 0.2)
    run = Run(None, None, None)
    monkeypatch.setattr(trainer.PruneTrainer, "_run", run)
    optimizer.register_step_post_hook(trainer._count_step)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    taken = []
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale((parameter + gate).sum() * factor).backward()
        scaler.unscale_(optimizer)
        before = parameter.detach().clone(), gate.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        taken.append(not torch.equal(parameter, before[0]))
        assert taken[-1] is not torch.equal(gate, before[1]) or not with_gates
    assert taken == [True, False, True] and run.steps == 2


def test_weight_decay_is_excluded_as_in_espnet(tiny, dense, train):
    from espnet_prune.train.command import get_parser
    from espnet_prune.train.task import PruneASRTask

    changes = dict(optim="adamw", optim_conf=dict(lr=0.1, weight_decay=0.5))
    changes["exclude_weight_decay"] = True
    cmd = command(tiny, dense, tiny.root / "decay", **changes)
    args = get_parser().parse_args(cmd)
    model = PruneASRTask.build_model(args)
    (optimizer,) = PruneASRTask.build_optimizers(args, model)
    decayed, spared, gates = optimizer.param_groups
    assert [id(p) for p in gates["params"]] == [id(model.gates.theta)]
    decays = [group["weight_decay"] for group in (decayed, spared, gates)]
    assert decays == [0.5, 0.0, 0.0] and gates["lr"] == model.gates.gate_lr
    everything = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("optim", [None, "sgd"])
def test_gates_follow_the_ramp_under_any_rule_and_through_a_resume(
    tiny, dense, train, optim
):
    changes = dict(
        optim=optim,
        optim_conf=dict(lr=0.001) if optim else None,
        scheduler_conf=dict(warmup_steps=1000),
        l0_conf=dict(L0, ramp_steps=20, gate_lr=0.65),
        accum_grad=1,
        num_iters_per_epoch=20,
        log_interval=100,
    )
    for name, lengths in (("through", [2]), ("resumed", [1, 2])):
        output = tiny.root / f"rule_{name}_{optim}"
        for epochs in lengths:
            train(command(tiny, dense, output, epochs=epochs, **changes))
    last = json.loads((output / "select.jsonl").read_text().splitlines()[-1])
    assert last["target"] == 0.4 and last["reached"] == pytest.approx(0.4, abs=0.05)
    for name in ("gates.pth", "weights.pth"):
        assert same(tiny.root / f"rule_through_{optim}" / name, output / name)
