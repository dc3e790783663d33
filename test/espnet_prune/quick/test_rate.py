# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The top learning rate and the batch of a training, from its config.yaml."""

import pytest

from espnet_prune.quick.rate import USUAL, batch_seconds, rule_of, top_rate
from espnet_prune.quick.recover import Cycle, criterion
from espnet_prune.utils import UserError

ADAM = {"optim": "adamw", "optim_conf": {"lr": 0.002, "weight_decay": 0.05}}


@pytest.mark.parametrize(
    "schedule, conf, top",
    [
        (None, {}, 0.002),
        ("warmuplr", {"warmup_steps": 400}, 0.002),
        ("cosineannealingwarmuprestarts", {"max_lr": 0.004}, 0.004),
        ("onecyclelr", {"max_lr": 0.01}, 0.01),
        ("piecewiselinearwarmuplr", {"warmup_lr_list": [0.0, 5e-5, 1e-3]}, 1e-3),
        ("noamlr", {"model_size": 256, "warmup_steps": 10000}, 0.002 / 16 / 100),
    ],
)
def test_top_rate(schedule, conf, top):
    config = {**ADAM, "scheduler": schedule, "scheduler_conf": conf}
    assert top_rate(config) == pytest.approx(top)
    assert rule_of(config) == ("adamw", {"weight_decay": 0.05})


def test_schedules_of_espnet_reach_it():
    """What is said of warmuplr and noamlr is what ESPnet does."""
    torch = pytest.importorskip("torch")
    from espnet2.schedulers.noam_lr import NoamLR
    from espnet2.schedulers.warmup_lr import WarmupLR

    for kind, name in ((WarmupLR, "warmuplr"), (NoamLR, "noamlr")):
        conf = {"warmup_steps": 20}
        optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.5)
        schedule, seen = kind(optimizer, **conf), []
        for _ in range(60):
            optimizer.step()
            schedule.step()
            seen.append(optimizer.param_groups[0]["lr"])
        config = {"optim": "adam", "optim_conf": {"lr": 0.5}}
        config.update(scheduler=name, scheduler_conf=conf)
        assert max(seen) == pytest.approx(top_rate(config), rel=0.01)


def test_another_rule_has_no_rate_to_take():
    config = {"optim": "adadelta", "optim_conf": {"lr": 1.0}}
    assert top_rate(config) == USUAL and rule_of(config)[0] == "adamw"


@pytest.mark.parametrize(
    "conf, seconds",
    [
        ({"batch_type": "numel", "batch_bins": 160000}, 10.0),
        ({"batch_type": "numel", "batch_bins": 160000, "accum_grad": 4}, 40.0),
        ({"batch_type": "folded", "batch_size": 32}, 96.0),
    ],
)
def test_batch(conf, seconds):
    config = {"frontend": "default", "frontend_conf": {"fs": "16k"}, **conf}
    assert batch_seconds(config, 3.0) == seconds


def test_a_cycle_fills_the_minutes():
    cycle = Cycle.within(10, spent=0.03, dense=10.0, top=0.002)
    assert cycle == Cycle(1600, 5, 10.0, 0.002)
    conf = cycle.conf(ADAM)
    assert conf["max_epoch"] * conf["num_iters_per_epoch"] == 1600
    assert conf["scheduler_conf"]["warmup_steps"] == 160
    assert conf["scheduler_conf"]["max_lr"] == conf["optim_conf"]["lr"] == 0.002
    assert conf["batch_bins"] == 160000


def test_a_batch_that_is_too_large_gets_smaller_and_so_does_the_rate():
    cycle = Cycle.within(10, spent=0.1, dense=1600.0, top=0.002)
    assert cycle.steps == 300 and cycle.seconds == pytest.approx(16.0)
    assert cycle.rate == pytest.approx(0.0002)


def test_too_little_time_is_told():
    with pytest.raises(UserError, match="--recover 0.1: too short here"):
        Cycle.within(0.1, spent=1.0, dense=10.0, top=0.002)


@pytest.mark.parametrize(
    "config, judged",
    [
        ({"decoder": "transformer", "model_conf": {"ctc_weight": 0.3}}, "acc"),
        ({"decoder": None, "model_conf": {"ctc_weight": 1.0}}, "cer_ctc"),
        ({"decoder": None, "model_conf": {"report_cer": False}}, "loss"),
        ({"decoder": "transducer"}, "loss"),
    ],
)
def test_what_judges_epochs(config, judged):
    assert criterion(config)[1] == judged
