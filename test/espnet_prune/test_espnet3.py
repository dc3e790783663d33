# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What espnet3 has trained is read as what ESPnet 2 has.

Its experiment stands in releases/espnet3, made by releases/espnet3_recipe.py.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_prune.espnet3 import as_espnet2
from espnet_prune.source import find_model
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError, read_yaml, write_yaml
from test.espnet_prune.tones import TOKENS, make_data

HERE = Path(__file__).resolve().parent / "releases/espnet3"
TASK = "espnet3.systems.esp2_asr.task.ASRTask"


@pytest.fixture
def exp(tmp_path):
    """Copy the recipe; return the experiment in it."""
    shutil.copytree(HERE, tmp_path / "recipe")
    return tmp_path / "recipe/exp/training"


@pytest.mark.parametrize("given", ["", "epoch2_step9_valid.acc.ckpt"])
def test_experiment_is_loaded_from_anywhere(exp, tmp_path, monkeypatch, given):
    from espnet_prune.models import load_model

    monkeypatch.chdir(tmp_path)
    source = find_model(str(exp / given), tmp_path / "out")
    assert source.model_file.name == (given or "valid.acc.ave_2best.pth")
    model, config = load_model(*source)
    assert model.token_list == config["token_list"] == TOKENS
    assert (config["token_type"], "task" in config) == ("char", False)
    if given:
        return
    make_data(tmp_path / "data")
    wave = torch.tensor(soundfile.read("data/valid0.wav", dtype="float32")[0])
    with torch.no_grad():
        found, _ = model.encode(wave[None], torch.tensor([len(wave)]))
    assert np.abs(found[0].numpy() - np.load(HERE / "output.npy")).max() < 1e-5


def test_checkpoints_of_lightning_are_taken_where_there_are_no_others(exp):
    (exp / "valid.acc.ave_2best.pth").unlink()
    assert find_model(str(exp), exp).model_file.name == "epoch2_step9_valid.acc.ckpt"
    shutil.copyfile(exp / "epoch2_step9_valid.acc.ckpt", exp / "last.ckpt")
    assert find_model(str(exp), exp).model_file.name == "epoch2_step9_valid.acc.ckpt"
    shutil.copyfile(exp / "last.ckpt", exp / "epoch1_step6_valid.acc.ckpt")
    with pytest.raises(UserError, match="it has epoch1.*, last.ckpt: name one"):
        find_model(str(exp), exp)


def test_file_of_tokens_that_is_missing_is_told(exp):
    from espnet_prune.models import read_model_config

    (exp.parents[1] / "data/tokens.txt").unlink()
    said = r"config.yaml: token_list data/tokens.txt is neither beside .* put the"
    with pytest.raises(UserError, match=said):
        read_model_config(exp / "config.yaml")


def test_training_is_told_as_that_of_espnet2(exp):
    found = as_espnet2(read_yaml(exp / "config.yaml"))
    assert (found["optim"], found["optim_conf"]["lr"]) == ("adam", 0.01)
    assert (found["scheduler"], found["scheduler_conf"]["warmup_steps"]) == (
        "warmuplr",
        2,
    )
    assert found["best_model_criterion"] == [["valid", "acc", "max"]]
    assert (found["batch_type"], found["batch_size"]) == ("unsorted", 4)
    assert not {"dataset", "trainer", "dataloader", "exp_dir"} & set(found)


def test_preprocessing_may_differ_in_training_and_validation(exp):
    config = read_yaml(exp / "config.yaml")
    split = {"token_type": "bpe", "train": {"fs": 8000}, "valid": {"text_cleaner": "x"}}
    config.update(token_type="char", bpemodel=None)
    config["dataset"]["preprocessor"] = split
    found = as_espnet2(config)
    assert (found["token_type"], found["cleaner"]) == ("bpe", "x")


@pytest.mark.parametrize(
    "path, name",
    [
        (TASK, "asr"),
        ("espnet_prune.train.task.PruneASRTask", "asr"),
        ("espnet2.tasks.s2t_ctc.S2TTask", "s2t_ctc"),
        ("espnet2.tasks.st.STTask", "st"),
        ("somewhere.of.mine.Task", "asr"),
    ],
)
def test_task_is_named_by_its_class(path, name):
    assert task_of({"task": path}).name == name


def test_class_of_another_task_is_refused(exp):
    from espnet_prune.models import read_model_config

    config = read_yaml(exp / "config.yaml")
    write_yaml({**config, "task": "espnet2.tasks.tts.TTSTask"}, exp / "config.yaml")
    with pytest.raises(UserError, match="config.yaml: a model of task tts has no enc"):
        read_model_config(exp / "config.yaml")
