# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Weights that are held for the first updates, and trained afterwards."""

import pytest
import torch

from espnet_prune.train.checkpoint import CHECKPOINT, load_checkpoint
from espnet_prune.utils import UserError, read_yaml
from test.espnet_prune.train.gated import DISTIL, same
from test.espnet_prune.train.two import in_two_processes, rank_options

HELD = {"param": ["encoder", "decoder.embed"], "updates": 6}  # two of three epochs


def command(tiny, output, epochs=3, conf=HELD, **changes):
    """A training of three steps an epoch, two batches each."""
    own = dict(freeze_conf=conf, batch_size=2, accum_grad=2, keep_nbest_models=5)
    path = tiny.root / f"{output.name}.yaml"
    config = tiny.write_config(path, max_epoch=epochs, **{**own, **changes})
    words = ["--config", config, "--output_dir", str(output), "--resume", "true"]
    return [*words, *tiny.options]


def load(path):
    return torch.load(path, weights_only=True)


def moved(before, after):
    """Parameters and buffers, by name, that are not what they were."""
    return {key for key in before if not torch.equal(before[key], after[key])}


def is_held(name):
    return name.startswith(("encoder.", "decoder.embed."))


@pytest.fixture(scope="module")
def epochs(tiny, train):
    """The weights after each epoch of a training in three calls."""
    output = tiny.root / "held"
    for number in (1, 2, 3):
        train(command(tiny, output, number))
    return [load(output / f"{number}epoch.pth") for number in (1, 2, 3)]


def test_they_do_not_move_and_then_they_do(tiny, train, epochs):
    first, second, third = epochs
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    early = {n for n in moved(first, second) if not n.endswith(statistics)}
    late = moved(second, third)
    assert early and not any(map(is_held, early))
    assert {"ctc.ctc_lo.weight", "decoder.output_layer.weight"} <= early
    assert {n for n in late if is_held(n)} > {"encoder.after_norm.weight"}
    states = load_checkpoint(tiny.root / "held" / CHECKPOINT)
    assert int(states["hooks"]["freeze"]["step"]) == 9
    # the loss is ESPnet's, not one that is divided by its mean
    for stats in states["reporter"]["stats"].values():
        assert stats["train"]["loss_total"] == pytest.approx(stats["train"]["loss"])


def test_a_resumed_training_is_the_same(tiny, train, epochs):
    output = tiny.root / "held_at_once"
    train(command(tiny, output))
    assert same(output / "3epoch.pth", tiny.root / "held" / "3epoch.pth")
    assert read_yaml(output / "config.yaml")["freeze_conf"] == HELD


def test_it_is_the_stock_training_once_they_are_let_go(tiny, train):
    """One step is held; what never moves by then is held by ESPnet for good."""
    for name, conf, more in (
        ("held_by_stock", {}, {"freeze_param": ["encoder"]}),
        ("held_longer", {"param": ["encoder"], "updates": 99}, {}),
        (
            "held_by_both",
            {"param": ["encoder"], "updates": 1},
            {"freeze_param": ["encoder"]},
        ),
    ):
        train(command(tiny, tiny.root / name, 2, conf, **more))
    one, two, three = (
        load(tiny.root / name / "2epoch.pth")
        for name in ("held_by_stock", "held_longer", "held_by_both")
    )
    assert not moved(one, two) and not moved(one, three)


def test_with_a_teacher(tiny, dense, train):
    output, teacher = tiny.root / "held_kd", str(dense / "valid.acc.ave.pth")
    more = ["--teacher_model", teacher, "--init_param", teacher]
    train([*command(tiny, output, 1, distill_conf=DISTIL), *more])
    before, after = load(teacher), load(output / "1epoch.pth")
    early = moved(before, after)
    assert "ctc.ctc_lo.weight" in early
    assert not any(n.startswith("encoder.") and n.endswith("weight") for n in early)


def test_two_processes(tiny, train):
    output = tiny.root / "held_two"
    conf = {**HELD, "updates": 12}  # two epochs of six steps
    run = command(tiny, output, 3, conf, accum_grad=1)

    def work(rank):
        train([*run, *rank_options(rank, tiny.root / "meeting_held")])

    assert in_two_processes(work) == [0, 0]
    assert read_yaml(output / "config.yaml")["unused_parameters"] is True
    found = [load(output / f"{number}epoch.pth") for number in (1, 2, 3)]
    assert "encoder.after_norm.weight" not in moved(*found[:2])
    assert "encoder.after_norm.weight" in moved(*found[1:])


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"param": ["encoder"]}, "freeze_conf: key 'updates' is missing"),
        ({"param": ["encoder"], "updates": 0}, "updates is above 0"),
        ({"param": [], "updates": 3}, "param names something"),
        ({"param": ["encodr"], "updates": 3}, "no 'encodr'.*'encoder'"),
        ({"param": ["encoder.encoder"], "updates": 3}, "no 'encoder.encoder'"),
        ({"param": ["encoder"], "update": 3}, "'updates'"),
        ({"param": ["encoder", "decoder", "ctc"], "updates": 3}, "nothing is left"),
    ],
)
def test_bad_options(tiny, train, tmp_path, conf, message):
    with pytest.raises(UserError, match=message):
        train(command(tiny, tmp_path / "bad", conf=conf))
    assert not (tmp_path / "bad").exists()
