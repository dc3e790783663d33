# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What espnet3 trains begins with the weights that were cut, and is never mixed.

espnet3 is stood in for by its two modules that the task looks at; a training of it is
in test_espnet3_trains.py.
"""

import argparse
import sys
import types
from pathlib import Path

import pytest
import torch

from espnet_prune.bin import cut, espnet3, select
from espnet_prune.utils import UserError, load_tensors, read_yaml, write_yaml

EXP = Path(__file__).resolve().parents[1] / "releases/espnet3/exp/training"
DENSE = EXP / "valid.acc.ave_2best.pth"
PAIR = ["--model_config", str(EXP / "config.yaml"), "--model_file", str(DENSE)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A cut model, and a section for it that has a teacher."""
    folder = tmp_path_factory.mktemp("small")
    conf = {"method": "magnitude", "budget": {"kind": "params", "sparsity": 0.3}}
    write_yaml(conf, folder / "magnitude.yaml")
    chosen = ["--output_dir", str(folder / "select")]
    select.main(["--config", str(folder / "magnitude.yaml"), *PAIR, *chosen])
    words = ["--select_dir", str(folder / "select"), "--refresh_batches", "0"]
    cut.main([*PAIR, *words, "--output_dir", str(folder / "cut")])
    words = ["--teacher", str(EXP), "--output", str(folder / "model.yaml")]
    espnet3.main(["--model", str(folder / "cut"), *words])
    return folder


@pytest.fixture
def callback(monkeypatch):
    """The modules of espnet3; returns its callback that averages."""
    name = "espnet3.components.callbacks.default_callbacks"
    kind = type("AverageCheckpointsCallback", (), {"__module__": name})
    module = types.ModuleType(name)
    module.AverageCheckpointsCallback = kind
    monkeypatch.setitem(sys.modules, name, module)
    task_utils = types.ModuleType("espnet3.utils.task_utils")
    monkeypatch.setitem(sys.modules, task_utils.__name__, task_utils)
    monkeypatch.setattr(sys, "argv", ["dummy.py"])  # as espnet3 does
    return kind


def build(section):
    """Build a model as espnet3 does."""
    from espnet_prune.train.task import PruneASRTask

    options = {**PruneASRTask.get_default_config(), **section}
    return PruneASRTask.build_model(argparse.Namespace(**options))


def wrapped(model):
    """What Lightning trains: its tensors are those of the model."""
    return types.SimpleNamespace(model=model, state_dict=model.state_dict)


def saved(path, state):
    torch.save({"state_dict": state, "epoch": 1}, path)
    return path


def test_weights_are_those_that_were_cut(small, callback):
    section = read_yaml(small / "model.yaml")
    assert section["encoder"] == "pruned_conformer"
    model = build(section)
    cut_state = load_tensors(small / "cut/model.pth")
    own = list(model.state_dict().values())
    assert all(torch.equal(*pair) for pair in zip(own, cut_state.values()))
    assert section["token_list"] == str(small / "model_tokens.txt")
    with pytest.raises(UserError, match="valid.acc.ave_2best.pth has another shape"):
        build({**section, "init_param": [str(DENSE)]})


def test_it_learns_from_a_teacher(small, callback):
    section = {**read_yaml(small / "model.yaml"), "distill_conf": {"w_layer": 1.0}}
    model = build({**section, "distill_conf": {"layers": 1}}).train()
    text = torch.tensor([[2, 3, 4]] * 2)
    lengths = torch.tensor([16000, 14000])
    batch = (torch.randn(2, 16000), lengths, text, torch.tensor([3, 2]))
    loss, stats, _ = model(*batch)
    loss.backward()
    assert stats["kd_layer"] > 0 and torch.isfinite(loss)
    assert set(model.state_dict()) == set(build(section).state_dict())


@pytest.mark.parametrize(
    "options, said",
    [
        ({"l0_conf": {"budget": 0.5}}, "model: gates need the trainer of ESPnet 2"),
        (
            {"distill_conf": {"projections": True}},
            "model: projections of distill_conf need the trainer",
        ),
    ],
)
def test_what_needs_our_trainer_is_refused(small, callback, options, said):
    with pytest.raises(UserError, match=said):
        build({**read_yaml(small / "model.yaml"), **options})


def test_averages_are_plain_means_of_one_structure(small, callback, tmp_path):
    model = build(read_yaml(small / "model.yaml"))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    double = {key: value * 2 for key, value in state.items()}
    prefixed = {f"model.{key}": value for key, value in double.items()}
    files = [saved(tmp_path / "a.ckpt", state), saved(tmp_path / "b.ckpt", prefixed)]
    own, trainer = callback(), types.SimpleNamespace(is_global_zero=True)
    own.output_dir = tmp_path
    best = types.SimpleNamespace(monitor="valid/acc", best_k_models=files)
    own.best_ckpt_callbacks = [best]
    own.on_validation_end(trainer, wrapped(model))
    mean = load_tensors(tmp_path / "valid.acc.ave_2best.pth")
    key = "encoder.encoders.0.feed_forward.w_1.weight"
    assert torch.allclose(mean[key], state[key] * 1.5)
    # a single unit would be added to all others without a word
    narrow = {**state, key: state[key][:1]}
    best.best_k_models = [files[0], saved(tmp_path / "c.ckpt", narrow)]
    with pytest.raises(UserError, match=f"c.ckpt has another shape for {key}, unlike"):
        own.on_validation_end(trainer, wrapped(model))
    best.best_k_models = [tmp_path / "c.ckpt"]
    with pytest.raises(UserError, match="unlike what is trained"):
        own.on_validation_end(trainer, wrapped(model))


def test_directory_of_another_structure_is_refused(small, callback, tmp_path):
    model = build(read_yaml(small / "model.yaml"))
    own, lightning = callback(), wrapped(model)
    own.output_dir = tmp_path
    saved(tmp_path / "epoch0_step3_valid.acc.ckpt", model.state_dict())
    own.setup(None, lightning, "fit")
    (tmp_path / DENSE.name).write_bytes(DENSE.read_bytes())
    own.setup(None, lightning, "validate")
    with pytest.raises(UserError, match="of another structure: valid.acc.ave_2best"):
        own.setup(None, lightning, "fit")


def test_checkpoint_of_another_structure_does_not_go_on(small, callback):
    model = build(read_yaml(small / "model.yaml"))
    model.load_state_dict(model.state_dict())
    with pytest.raises(UserError, match="is of another structure, it has another sh"):
        model.load_state_dict(load_tensors(DENSE))


def test_statistics_that_espnet3_takes_away_are_missed(small, callback, tmp_path):
    section = read_yaml(small / "model.yaml")
    state = load_tensors(small / "cut/model.pth")
    state.update({f"normalize.{name}": torch.ones(16) for name in ("mean", "std")})
    torch.save(state, tmp_path / "model.pth")
    model = build({**section, "init_param": [str(tmp_path / "model.pth")]})
    own = callback()
    own.output_dir = tmp_path / "exp"
    with pytest.raises(UserError, match="holds statistics of features, and the model"):
        own.setup(None, wrapped(model), "fit")


def test_models_of_other_tasks_get_no_section(small, tmp_path):
    config = read_yaml(EXP / "config.yaml")
    data = EXP.parents[1] / "data/tokens.txt"
    config.update(task="espnet2.tasks.s2t.S2TTask", token_list=str(data))
    write_yaml(config, tmp_path / "config.yaml")
    (tmp_path / "model.pth").write_bytes(DENSE.read_bytes())
    with pytest.raises(UserError, match="a model of task s2t; espnet3 trains"):
        espnet3.main(["--model", str(tmp_path), "--output", str(tmp_path / "x.yaml")])
