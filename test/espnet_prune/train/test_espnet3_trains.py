# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""espnet3 itself trains what was cut, under Lightning, and averages it."""

import importlib.util

import pytest
import torch
import yaml

from espnet_prune.models import load_model
from espnet_prune.source import find_model
from espnet_prune.utils import load_tensors
from test.espnet_prune.releases.espnet3_recipe import make_recipe, train, training
from test.espnet_prune.train.test_lightning import DENSE, small  # noqa: F401

MISSING = [n for n in ("espnet3", "lightning") if not importlib.util.find_spec(n)]
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"needs {' and '.join(MISSING)}: pip install espnet==202611 lightning",
)
TASK = "espnet_prune.train.task.PruneASRTask"


def test_a_cut_model_is_trained_averaged_and_kept_apart(tmp_path, small):  # noqa: F811
    conf = {**training(TASK), "model": {"distill_conf": {"layers": 1}}}
    conf["defaults"] = [{"model": str(small / "model.yaml")}]
    make_recipe(tmp_path / "recipe", conf)
    done = train(tmp_path / "recipe")
    assert done.returncode == 0, done.stdout
    assert f"init_param {small / 'cut/model.pth'}: loaded" in done.stdout
    exp = tmp_path / "recipe/exp/training"
    source = find_model(str(exp), tmp_path)
    assert source.model_file.name == "valid.acc.ave_2best.pth"
    model, config = load_model(*source)
    assert config["encoder"] == "pruned_conformer"
    # those of the first two of three epochs: espnet3 averages before it saves
    best = [load_tensors(path) for path in sorted(exp.glob("epoch[01]_*.ckpt"))]
    cut = load_tensors(small / "cut/model.pth")
    key = "encoder.encoders.0.feed_forward.w_1.weight"
    mean = sum(state["state_dict"][key] for state in best) / 2
    assert torch.allclose(model.state_dict()[key], mean, atol=1e-6)
    assert mean.shape == cut[key].shape and not torch.equal(mean, cut[key])

    # the dense model in the same directory
    conf["model"] = {**training()["model"], "init_param": [str(DENSE)]}
    del conf["defaults"]
    (tmp_path / "recipe/conf/training.yaml").write_text(yaml.safe_dump(conf))
    before = source.model_file.read_bytes()
    done = train(tmp_path / "recipe")
    assert done.returncode != 0
    assert "holds a training of another structure: epoch0_step3" in done.stdout
    assert source.model_file.read_bytes() == before
