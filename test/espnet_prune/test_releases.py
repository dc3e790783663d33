# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Experiments of two releases of ESPnet go through every command of this one.

What each release has left behind stands in releases/, made by releases/make.py.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_prune.utils import write_yaml
from test.espnet_prune.releases.make import options
from test.espnet_prune.tones import make_data

HERE = Path(__file__).resolve().parent / "releases"
RELEASES = ("202511", "202611")
EXP = Path("exp/asr_x")
CONFIG, MODEL = str(EXP / "config.yaml"), str(EXP / "model.pth")
PAIR = ["--model_config", CONFIG, "--model_file", MODEL]
OTHER = {
    f"encoder.embed.out.{x}": f"encoder.embed.out.0.{x}" for x in ("weight", "bias")
}
OTHER.update({value: key for key, value in OTHER.items()})
TRAIN = {"optim": "sgd", "optim_conf": {"lr": 0.0}, "batch_size": 4, "max_epoch": 1}
TRAIN.update(batch_type="unsorted", num_workers=0)
TRAIN.update(use_matplotlib=False, use_tensorboard=False)


def lay_out(folder, release):
    """Put the experiment of a release, and its data, below a folder."""
    pytest.importorskip("espnet2")
    (folder / EXP).mkdir(parents=True)
    for path in (HERE / release).iterdir():
        shutil.copyfile(path, folder / EXP / path.name)
    state = torch.load(folder / EXP / "checkpoint.pth", weights_only=False)["model"]
    torch.save(state, folder / MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_data(Path("data"))
    write_yaml({**TRAIN, "distill_conf": {}}, folder / "train.yaml")
    config = yaml.safe_load((folder / CONFIG).read_text())
    keys = ("normalize", "encoder", "decoder", "frontend", "model")
    given = {k: config[k] for key in keys for k in (key, f"{key}_conf")}
    write_yaml({**given, "token_type": "char"}, folder / "model.yaml")
    budget = {"kind": "params", "sparsity": 0.2}
    write_yaml({"method": "magnitude", "budget": budget}, folder / "magnitude.yaml")
    gated = {"l0_conf": {"ramp_steps": 16, "gate_lr": 0.8}}
    gated["train_conf"] = {**TRAIN, "max_epoch": 8}
    gated["train_conf"]["optim"], gated["train_conf"]["optim_conf"] = "adam", {}
    write_yaml({"method": "l0", "budget": budget, **gated}, folder / "l0.yaml")


@pytest.fixture(scope="module", params=RELEASES)
def exp(request, tmp_path_factory):
    """Change to a directory with the experiment of a release; return its name."""
    folder = tmp_path_factory.mktemp(request.param)
    lay_out(folder, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield request.param


def run(name, *words):
    """Call a command of espnet_prune in this process."""
    __import__(f"espnet_prune.bin.{name}")
    return sys.modules[f"espnet_prune.bin.{name}"].main([str(word) for word in words])


def speech():
    return torch.tensor(soundfile.read("data/valid0.wav", dtype="float32")[0])


@torch.no_grad()
def hears(model):
    """Return what a model's encoder makes of the first utterance, (frames, 8)."""
    wave = speech()
    hidden, _ = model.eval().encode(wave[None], torch.tensor([len(wave)]))
    return hidden[0].numpy()


def of_file(folder, name="model.pth"):
    """The same of a checkpoint, loaded by the stock loader of this release."""
    from espnet2.tasks.asr import ASRTask

    model, _ = ASRTask.build_model_from_file(
        f"{folder}/config.yaml", f"{folder}/{name}"
    )
    return hears(model)


def difference(found):
    """Largest deviation from what the release that trained the model had."""
    return float(np.abs(found - np.load(EXP / "output.npy")).max())


def names_of(path):
    return set(torch.load(path, weights_only=True))


def has_old_names(path):
    return {"encoder.embed.out.0.weight"} <= names_of(path) and not (
        {"encoder.embed.out.weight"} & names_of(path)
    )


def same(one, other):
    """Say whether the weights of two checkpoints are equal, whatever their names."""
    one, other = (torch.load(p, weights_only=True) for p in (one, other))
    other = {OTHER.get(k, k) if k not in one else k: v for k, v in other.items()}
    weights = [k for k in one if "running_" not in k and "tracked" not in k]
    return all(torch.equal(one[k], other[k]) for k in weights)


def finetune(output, *more, config="train.yaml"):
    words = ["--output_dir", output, "--base_config", CONFIG, "--config", config]
    run("asr_train", *words, *options(), *more)


def test_the_loader_of_this_release_reads_the_names_of_the_other(exp):
    import espnet_prune

    espnet_prune.register()
    assert difference(of_file(EXP)) < 1e-5
    from espnet2.tasks.asr import ASRTask
    from espnet2.torch_utils import load_pretrained_model

    model, _ = ASRTask.build_model_from_file(CONFIG, None)
    load_pretrained_model.load_pretrained_model(MODEL, model, False)
    assert difference(hears(model)) < 1e-5


def test_commands_that_only_look(exp, capsys):
    run("check_model", *PAIR)
    run("cost", "--model_config", CONFIG)
    run("verify", *PAIR, "--structures", 1, "--trials", 2)
    run("similarity", *PAIR, "--output_dir", "sim", "--num_utts", 3)
    Path("sets.txt").write_text("1\n")
    run("evaluate_blocks", *PAIR, "--sets", "sets.txt", "--output", "tried.tsv")
    assert "all 1" in capsys.readouterr().out
    assert Path("tried.tsv").read_text()


def test_what_is_cut_is_the_same_model_for_both_releases(exp):
    run("export", *PAIR, "--keep_blocks", "1-2", "--output_dir", "whole")
    assert (
        yaml.safe_load(Path("whole/config.yaml").read_text())["encoder"] == "conformer"
    )
    assert difference(of_file("whole")) < 1e-5
    assert has_old_names("whole/model.pth")
    run("select", "--config", "magnitude.yaml", *PAIR, "--output_dir", "select")
    cut = ("cut", *PAIR, "--select_dir", "select", "--refresh_batches", 0)
    run(*cut, "--output_dir", "cut")
    assert json.loads(Path("cut/verify.json").read_text())["equal"]
    assert has_old_names("cut/model.pth")
    assert of_file("cut").shape == np.load(EXP / "output.npy").shape


def test_trainings_begin_with_it(exp):
    command = ("init_model", "--config", "model.yaml", *options()[:2])
    run(*command, "--output_dir", "init", "--init_param", MODEL)
    assert difference(of_file("init")) < 1e-5 and has_old_names("init/model.pth")
    teacher = ("--teacher_model", MODEL)
    finetune("tuned", "--init_param", MODEL, *teacher)
    assert has_old_names("tuned/1epoch.pth")
    assert same("tuned/1epoch.pth", MODEL)
    run("select", "--config", "l0.yaml", *PAIR, "--output_dir", "l0", *options()[2:])
    assert has_old_names("l0/weights.pth")
    run("cut", *PAIR, "--select_dir", "l0", "--output_dir", "l0_cut")


def test_a_training_goes_on_and_its_averages_are_plain_means(exp):
    for number in (1, 2, 3):
        folder = f"resumed{number}"
        shutil.copytree(EXP, folder)
        config = yaml.safe_load(Path(CONFIG).read_text())
        keys = ("optim", "optim_conf", "best_model_criterion", "keep_nbest_models")
        given = {**TRAIN, **{k: config[k] for k in keys}, "max_epoch": 4}
        write_yaml({**given, "keep_nbest_models": number}, "on.yaml")
        finetune(folder, "--resume", "true", config="on.yaml")
    epochs = {n: torch.load(f"resumed3/{n}epoch.pth") for n in (1, 2, 3, 4)}
    from espnet_prune.train.checkpoint import load_checkpoint

    stats = load_checkpoint(Path("resumed3/checkpoint.pth"))["reporter"]["stats"]
    for number in (1, 2, 3):
        for key, sign in (("acc", -1), ("loss", 1)):
            order = sorted(stats, key=lambda n: sign * stats[n]["valid"][key])
            found = torch.load(f"resumed{number}/valid.{key}.ave.pth")
            check_mean(found, [epochs[n] for n in order[:number]])


def check_mean(found, states):
    for name, value in found.items():
        values = [
            state[OTHER.get(name, name) if name not in state else name]
            for state in states
        ]
        total = torch.stack([v.double() for v in values]).sum(0)
        if value.is_floating_point():
            total = total / len(values)
        assert torch.allclose(value.double(), total, atol=1e-6), name


@pytest.mark.parametrize("depth", [[], ["--keep_blocks", "1-2"]])
def test_decoding_and_packing(exp, depth, tmp_path):
    shutil.copyfile("data/valid_wav.scp", "wav.scp")
    decode = ["--asr_train_config", CONFIG, "--asr_model_file", MODEL, "--beam_size", 1]
    data = ["--data_path_and_name_and_type", "wav.scp,speech,sound", "--ngpu", 0]
    run("asr_inference", *decode, *data, *depth, "--output_dir", tmp_path / "out")
    lines = (tmp_path / "out/1best_recog/score").read_text().splitlines()
    assert len(lines) == 4
    run(
        "pack", "--exp_dir", EXP, "--model", "model.pth", "--output", tmp_path / "a.zip"
    )
    from espnet2.main_funcs.pack_funcs import unpack

    files = unpack(tmp_path / "a.zip", tmp_path / "unpacked")
    assert has_old_names(files["asr_model_file"])
    folder = Path(files["asr_model_file"]).parent
    assert difference(of_file(folder)) < 1e-5


KINDS = ("conv1d2", "conv2d", "conv2d1", "conv2d2", "conv2d6")


@pytest.mark.parametrize("kind", [*KINDS, "conv2d8", "linear"])
@pytest.mark.parametrize("position", ["abs_pos", "conv"])
def test_names_of_every_front_end(kind, position):
    from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

    from espnet_prune.tensor_names import as_here, as_written

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            given = {"input_layer": kind, "pos_enc_layer_type": position}
            self.encoder = TransformerEncoder(20, 16, 2, 8, 1, **given)

    model, other = Model(), Model()
    state = model.state_dict()
    old = as_written(model, state)
    new = {new_name(k) if kind in KINDS else k: v for k, v in old.items()}
    assert (old.keys() != new.keys()) == (kind in KINDS)
    assert as_written(model, new).keys() == old.keys()
    for form in (old, new):
        assert list(as_here(form, state.keys())) == list(state)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.fill_(7.0)
        other.load_state_dict(form, strict=True)
        assert all(torch.equal(state[k], v) for k, v in other.state_dict().items())


def new_name(key):
    key = key.replace("embed.out.0.", "embed.out.")
    return key.replace("embed.out.1.", "embed.pos_enc.")
