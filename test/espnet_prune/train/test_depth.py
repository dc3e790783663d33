# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From a training in which every depth learns to a depth chosen at run time."""

import re

import pytest

from espnet_prune.bin import export, select
from espnet_prune.deploy.depth_table import DepthTable
from espnet_prune.train.checkpoint import CHECKPOINT, load_checkpoint
from espnet_prune.utils import UserError, read_yaml, write_yaml
from test.espnet_prune.train.gated import same

MODEL = "valid.cer_ctc.ave.pth"


def command(tiny, output, epochs, conf, **sizes):
    own = dict(tiny.config["encoder_conf"], num_blocks=4, **sizes)
    changes = dict(
        encoder="pruned_conformer",
        encoder_conf=own,
        decoder=None,
        model_conf={"ctc_weight": 1.0},
        best_model_criterion=[["valid", "cer_ctc", "min"]],
        accum_grad=2,
        depth_conf=conf,
    )
    path = tiny.root / f"{output.name}.yaml"
    config = tiny.write_config(path, max_epoch=epochs, batch_size=2, **changes)
    words = ["--config", config, "--output_dir", str(output), "--resume", "true"]
    return [*words, *tiny.options]


@pytest.fixture(scope="module")
def exp(tiny, train):
    """A model whose order is even, trained in two calls."""
    output = tiny.root / "nested"
    for epochs in (1, 2):
        conf = {"order": "even", "min_depth": 2}
        train(command(tiny, output, epochs, conf, stochastic_depth_rate=0.2))
    return output


def test_a_resumed_training_is_the_same(tiny, train, exp):
    output = tiny.root / "nested_at_once"
    conf = {"order": "even", "min_depth": 2}
    train(command(tiny, output, 2, conf, stochastic_depth_rate=0.2))
    assert same(output / "2epoch.pth", exp / "2epoch.pth")
    states = load_checkpoint(exp / CHECKPOINT)
    assert int(states["hooks"]["depth"]["step"]) == 12
    stats = states["reporter"]["stats"][2]
    assert stats["train"]["depth"] == 3.0  # the one between the smallest and all
    assert stats["train"]["loss_depth"] > 1
    assert stats["train"]["loss_depth_kd"] > 0 < stats["train"]["loss_depth_ctc"]
    assert "loss_depth" not in stats["valid"]
    assert read_yaml(exp / "config.yaml")["depth_conf"] == {
        "order": [3, 2],
        "min_depth": 2,
        "draws": 1,
        "sandwich": True,
        "w_ctc": 0.5,
        "w_kd": 0.5,
    }


def test_its_depths_are_chosen_at_run_time(tiny, exp):
    conf = {"search": "nested", "metric": "cer", "depth_table": True}
    files = ["--model_config", str(exp / "config.yaml")]
    files += ["--model_file", str(exp / MODEL)]
    path, output = tiny.root / "select.yaml", ["--output_dir", str(exp / "select")]
    write_yaml({"method": "layers", "num_remove": 2, "layers_conf": conf}, path)
    select.main([*files, *output, "--config", str(path)])
    table = DepthTable.load(exp / "depth_table.json", exp / MODEL)
    kept = {depth: entry.kept_blocks for depth, entry in table.depths.items()}
    assert kept == {4: [1, 2, 3, 4], 3: [1, 2, 4], 2: [1, 4]}
    from espnet_prune.deploy import OnDemandSpeech2Text

    model = OnDemandSpeech2Text(*files[1::2], depth=2, ctc_weight=1.0, beam_size=2)
    assert model.blocks == [1, 4] and model.set_depth(3) == [1, 2, 4]
    export.main([*files, "--depth", "2", "--output_dir", str(tiny.root / "two")])
    small = read_yaml(tiny.root / "two" / "config.yaml")
    assert small["encoder_conf"]["num_blocks"] == 2
    write_yaml({"method": "layers", "num_remove": 3, "layers_conf": conf}, path)
    with pytest.raises(UserError, match="remove at most 2"):
        select.main([*files, *output, "--config", str(path)])


def test_bad_keys_are_refused_before_the_training(tiny, train):
    output = tiny.root / "refused"
    with pytest.raises(UserError, match=re.escape("did you mean 'draws'")):
        train(command(tiny, output, 1, {"drawz": 1}))
    with pytest.raises(UserError, match="depth_conf: .* 4 blocks"):
        train(command(tiny, output, 1, {"min_depth": 4}))
    cmd = command(tiny, output, 1, {"draws": 1})
    with pytest.raises(UserError, match="random depths and gates do not go"):
        train([*cmd, "--l0_conf", "ramp_steps=2"])
