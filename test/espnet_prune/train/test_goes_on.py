# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A training goes on until the gates expect the budget, or says that they do not."""

import json
import logging
import os
import signal

import pytest
import torch

from espnet_prune.utils import UserError, read_json, write_yaml
from test.espnet_prune.train.gated import L0, command, load_gated, same
from test.espnet_prune.train.test_resume import in_child
from test.espnet_prune.train.two import in_two_processes, rank_options, record

# so weak a controller that the gates are far behind when the ramp is over
BEHIND = dict(L0, penalty=4.0, dual_rate=0.1, extra_steps=200)
CHANGES = dict(accum_grad=1, num_iters_per_epoch=24, epochs=1, log_interval=100)


def gates_of(output):
    return load_gated(output)[1]


@pytest.fixture(scope="module")
def gone_on(tiny, dense, train):
    """Train once, on beyond the end; return the directory and the gates."""
    output = tiny.root / "gone_on"
    train(command(tiny, dense, output, l0_conf=BEHIND, **CHANGES))
    return output, gates_of(output)


def test_gates_that_are_behind_come_to_the_budget(gone_on):
    output, gates = gone_on
    lines = (output / "select.jsonl").read_text().splitlines()
    at_end = next(line for line in map(json.loads, lines) if line["step"] == 24)
    assert at_end["target"] == 0.4 and at_end["reached"] < 0.37
    assert gates.sparsity().tolist() == pytest.approx([0.4], abs=0.01)
    steps = int(gates.lagrangian.step)
    # it stops as soon as they are there, in the middle of an epoch
    assert 26 < steps < 224 and steps % 24
    assert not (output / "1epoch.pth").exists()


def test_killed_while_it_goes_on_it_ends_the_same(tiny, dense, train, gone_on):
    whole, gates = gone_on
    output = tiny.root / "gone_on_killed"
    cmd = command(tiny, dense, output, l0_conf=BEHIND, **CHANGES)

    def run():
        from espnet_prune.select.l0 import hook as hooks

        original = hooks.GateHook.step

        def step(hook, run):
            original(hook, run)
            if int(hook.gates.lagrangian.step) == int(gates.lagrangian.step) - 2:
                os.kill(os.getpid(), signal.SIGKILL)

        hooks.GateHook.step = step
        train(cmd)

    assert os.WTERMSIG(in_child(run)) == signal.SIGKILL
    train(cmd)
    for name in ("weights.pth", "gates.pth"):
        assert same(whole / name, output / name), name
    train(cmd)  # once more changes nothing
    assert same(whole / "gates.pth", output / "gates.pth")


def test_the_limit_holds(tiny, dense, train):
    output = tiny.root / "limit"
    limited = dict(BEHIND, penalty=0.0, dual_rate=0.0, extra_steps=3)
    for _ in range(2):
        train(command(tiny, dense, output, l0_conf=limited, **CHANGES))
        assert int(gates_of(output).lagrangian.step) == 27


def test_all_ranks_go_on_alike(tiny, dense, train):
    output = tiny.root / "limit_two"
    limited = dict(BEHIND, extra_steps=3)
    changes = dict(CHANGES, num_iters_per_epoch=2, l0_conf=limited)
    run = command(tiny, dense, output, **changes)

    def work(rank):
        record(tiny.root / f"limit.rank{rank}.pt")
        train([*run, *rank_options(rank, tiny.root / "meet_limit")])

    assert in_two_processes(work) == [0, 0]
    first, second = (
        torch.load(tiny.root / f"limit.rank{r}.pt", weights_only=True) for r in (0, 1)
    )
    assert int(first["state"]["gates.lagrangian.step"]) == 5
    for key in ("gates.theta", "gates.lagrangian.multiplier"):
        assert torch.equal(first["state"][key], second["state"][key])


def select(tiny, dense, name, l0_conf, **train_conf):
    from espnet_prune.bin import select as command

    keys = ("batch_type", "batch_size", "num_workers", "use_matplotlib")
    conf = {
        "method": "l0",
        "budget": {"kind": "params", "sparsity": 0.4},
        "l0_conf": l0_conf,
        "train_conf": {**{key: tiny.config[key] for key in keys}, **train_conf},
    }
    write_yaml(conf, tiny.root / f"{name}.yaml")
    output = tiny.root / name
    command.main(
        ["--config", str(tiny.root / f"{name}.yaml"), "--output_dir", str(output)]
        + ["--model_config", str(dense / "config.yaml")]
        + ["--model_file", str(dense / "valid.acc.ave.pth"), *tiny.options]
    )
    return read_json(output / "structure.json")["provenance"]


def test_a_budget_out_of_sight_is_told_and_recorded(tiny, dense, caplog):
    conf = dict(ramp_steps=5, gate_lr=2.5, penalty=0.0, dual_rate=0.0, extra_steps=2)
    with caplog.at_level(logging.WARNING):
        made = select(tiny, dense, "far", conf, max_epoch=1)
    assert made["steps"] == 5 and made["expected"] < 0.1 < 0.38 < made["reached"]
    (text,) = [r.message for r in caplog.records if "have not come" in r.message]
    assert "in 5 steps" in text and f"{made['expected']:.4f} expected" in text
    assert "extra_steps" in text


@pytest.mark.parametrize("conf", [{"ramp_steps": 62}, {}])
def test_a_ramp_that_is_longer_than_the_training(tiny, dense, conf):
    ramp = conf.get("ramp_steps", 500)
    name = f"ramp{ramp}"
    with pytest.raises(UserError, match=f"ramp_steps {ramp} would not.*has 6 steps"):
        select(tiny, dense, name, conf, max_epoch=2)
    assert not list((tiny.root / name).rglob("checkpoint.pth"))


def test_what_others_imply_is_no_reason():
    from espnet_prune.select.l0.lagrangian import Lagrangian

    lagrangian = Lagrangian([0.5, 0.5], [False, True], ramp_steps=62)
    assert lagrangian.behind([0.491, 0.3]) == [False, False]
    assert lagrangian.behind([0.489, 0.5]) == [True, False]
    assert lagrangian.behind([0.55, 0.5]) == [False, False]


def test_multipliers_hurry_when_the_training_goes_on():
    from espnet_prune.select.l0.lagrangian import Lagrangian

    usual, hurried = (Lagrangian([0.5], ramp_steps=62) for _ in range(2))
    for lagrangian, haste in ((usual, {}), (hurried, {"haste": 3.0})):
        lagrangian.step.fill_(62.0)
        lagrangian.after_step(torch.tensor([0.45], dtype=torch.float64), **haste)
    assert float(usual.multiplier) == pytest.approx(-0.05 * usual.dual_rate)
    assert float(hurried.multiplier) == pytest.approx(3 * float(usual.multiplier))


@pytest.mark.parametrize("steps, told", [(3, True), (4, False), (9, False)])
def test_a_cycle_that_is_over_too_early_is_told(tiny, train, caplog, steps, told):
    """Two epochs of two steps: the rate must not climb again in the last of them."""
    cycle = {"first_cycle_steps": steps, "warmup_steps": 1, "max_lr": 0.01}
    config = tiny.write_config(
        tiny.root / f"cycle{steps}.yaml",
        max_epoch=2,
        num_iters_per_epoch=2,
        scheduler="cosineannealingwarmuprestarts",
        scheduler_conf={**cycle, "min_lr": 0.001},
    )
    options = [*tiny.options, "--config", str(config)]
    train([*options, "--output_dir", str(tiny.root / f"cycle{steps}")])
    found = [m for m in caplog.messages if "the learning rate climbs again" in m]
    assert bool(found) == told
    assert not told or "Set it to 4" in found[0]
