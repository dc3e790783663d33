# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Bad input is told in one sentence before anything is written."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

from espnet_prune.utils import UserError
from test.espnet_prune.encoder_zoo import SPEECH
from test.espnet_prune.train.gated import L0, command


def tiny_tokens(config):
    return yaml.safe_load(Path(config).read_text())["token_list"]


def test_command_ends_with_code_2_and_one_line(train, tmp_path, monkeypatch, capsys):
    from espnet_prune.bin.asr_train import main
    from espnet_prune.utils import run_main

    (tmp_path / "x.yaml").write_text("max_epch: 3\n")
    words = ["asr_train", "--config", str(tmp_path / "x.yaml")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as info:
        run_main(main)
    error = capsys.readouterr().err.strip()
    assert info.value.code == 2
    assert error.startswith("espnet_prune: error: ") and "'max_epoch'" in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "changes, options, message",
    [
        (dict(encodr="conformer"), [], "unknown key 'encodr'.*'encoder'"),
        ({}, ["--acum_grad", "2"], "unknown option --acum_grad.*'--accum_grad'"),
        (dict(optim_conf=dict(lrr=1.0)), [], "optim_conf of adam.*'lr'"),
        (dict(encoder_conf=dict(num_block=2)), [], "'num_blocks'"),
        (dict(distill_conf=dict(tempreature=2)), [], "'temperature'"),
        (dict(encoder="conformr"), [], "'conformr'.*'conformer'"),
        (dict(l0_conf=dict(L0, ramp_step=9)), [], "l0_conf.*'ramp_steps'"),
        (dict(l0_conf=dict(L0, budget=dict(sparsity=0.999))), [], "budget|cannot"),
        ({}, ["--teacher_model", "none.pth"], "teacher_model none.pth: no such file"),
        ({}, ["--init_param", "gone.pth"], "init_param gone.pth: no such file"),
        ({}, ["--token_list", "t.txt"], "token_list t.txt: no such file"),
    ],
)
def test_bad_options_are_told_before_anything_is_written(
    tiny, dense, train, tmp_path, changes, options, message
):
    cmd = command(tiny, dense, tmp_path / "bad", **changes)
    with pytest.raises(UserError, match=message) as info:
        train([*cmd, *options])
    assert "\n" not in str(info.value)
    assert not (tmp_path / "bad").exists()


def test_bad_teacher(tiny, dense, train, tmp_path):
    cmd = command(tiny, dense, tmp_path / "bad")
    other = tmp_path / "teacher"
    other.mkdir()
    config = yaml.safe_load((dense / "config.yaml").read_text())
    state = torch.load(dense / "valid.acc.ave.pth", weights_only=True)
    state.pop("ctc.ctc_lo.bias")
    torch.save(state, other / "model.pth")
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="lacks ctc.ctc_lo.bias"):
        train([*cmd, "--teacher_model", str(other / "model.pth")])
    (other / "model.pth").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="model.pth: not a readable checkpoint"):
        train([*cmd, "--teacher_model", str(other / "model.pth")])
    config["token_list"][2] = "Z"
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(state, other / "model.pth")
    with pytest.raises(UserError, match="token list"):
        train([*cmd, "--teacher_model", str(other / "model.pth")])
    no_teacher = [w for w in cmd if w not in ("--teacher_model",)]
    no_teacher.remove(str(dense / "valid.acc.ave.pth"))
    with pytest.raises(UserError, match="without a teacher; add --teacher_model"):
        train(no_teacher)


def test_bad_data(tiny, dense, train, tmp_path):
    scp, text = (tiny.data / f"train_{kind}" for kind in ("wav.scp", "text"))
    cmd = command(tiny, dense, tmp_path / "bad")

    def swap(old, lines):
        new = tmp_path / "changed"
        new.write_text("\n".join(lines) + "\n")
        return [word.replace(str(old), str(new)) for word in cmd]

    lines = scp.read_text().splitlines()
    lines[3] = lines[3].split()[0] + " /nowhere/x.wav"
    with pytest.raises(UserError, match="1 of 12 files do not exist, .*/nowhere/x.wav"):
        train(swap(scp, lines))
    lines = text.read_text().splitlines()
    lines[5] = lines[5].split()[0]
    with pytest.raises(UserError, match="1 of 12 utterances have empty text.*train5"):
        train(swap(text, lines))
    with pytest.raises(UserError, match="the file is empty"):
        train(swap(text, []))
    assert not (tmp_path / "bad").exists()


def test_bad_raw_speech(tiny, train, tmp_path):
    shapes = tmp_path / "speech_shape"
    shapes.write_text("train0 16000\ntrain1 324\n")
    changes = dict(encoder="pruned_wav2vec2", encoder_conf=SPEECH["base"])
    config = tiny.write_config(tiny.root / "raw.yaml", **changes)
    options = [w.replace(f"{tiny.data}/train_shape", str(shapes)) for w in tiny.options]
    cmd = ["--config", config, "--output_dir", str(tmp_path / "bad"), *options]
    with pytest.raises(
        UserError, match="speech_shape: utterance train1 of 324 samples"
    ):
        train(cmd)
    with pytest.raises(UserError, match="frontend_conf: fs 8000 is not 16000"):
        train([*cmd, "--frontend_conf", "fs=8000"])
    assert not (tmp_path / "bad").exists()


def test_output_of_another_structure_is_left_alone(tiny, dense, train):
    before = {p.name: p.stat().st_mtime_ns for p in dense.iterdir()}
    for cmd in (
        command(tiny, dense, dense),  # gates on top of a dense training
        command(
            tiny,
            dense,
            dense,
            l0_conf=None,
            encoder_conf=dict(tiny.config["encoder_conf"], linear_units=32),
        )
        + ["--resume", "false"],
    ):
        with pytest.raises(UserError, match="training of another structure"):
            train(cmd)
    assert {p.name: p.stat().st_mtime_ns for p in dense.iterdir()} == before


def test_base_config_gives_the_model_and_nothing_else(tiny, dense, train):
    from espnet_prune.train.command import get_parser, read_command

    own = tiny.root / "own.yaml"
    own.write_text(
        yaml.safe_dump(
            dict(encoder_conf=dict(dropout_rate=0.3), model_conf=dict(ctc_weight=0.3))
        )
    )
    base = dense / "config.yaml"
    args = read_command(
        get_parser(),
        ["--config", str(own), "--base_config", str(base), "--output_dir", "x"]
        + ["--decoder_conf", "dropout_rate=0.0", "--model_conf", "lsm_weight=0.1"],
    )
    assert args.token_list == tiny_tokens(base) and args.token_type == "char"
    assert args.encoder == "conformer" and args.normalize == "utterance_mvn"
    assert args.encoder_conf["dropout_rate"] == 0.3
    assert args.encoder_conf["num_blocks"] == 2
    assert args.decoder_conf["dropout_rate"] == 0.0
    assert args.decoder_conf["num_blocks"] == 1
    assert args.model_conf["ctc_weight"] == 0.3
    assert args.model_conf["lsm_weight"] == 0.1
    assert args.optim == "adadelta" and args.max_epoch == 40 and args.init_param == []
    assert args.config == str(own) and args.base_config == str(base)
    assert not Path("x").exists()


@pytest.mark.parametrize("base", [[], ["--base_config"]])
def test_rates_as_everyone_writes_them(tiny, dense, train, base):
    from espnet_prune.train.command import get_parser, read_command

    own = tiny.root / "rates.yaml"
    own.write_text("optim: adam\noptim_conf: {lr: 1e-3}\ngrad_clip: 5e0\n")
    given = [word for word in base] + [str(dense / "config.yaml")] * len(base)
    words = ["--config", str(own), *given, "--optim_conf", "weight_decay=1e-6"]
    args = read_command(get_parser(), words)
    assert args.optim_conf == {"lr": 0.001, "weight_decay": 1e-6}
    assert args.grad_clip == 5.0 and args.config == str(own)


def test_base_config_of_another_class_drops_its_conf():
    from espnet_prune.train.command import merge_configs

    base = dict(
        encoder="conformer",
        encoder_conf=dict(cnn_module_kernel=31),
        decoder="transformer",
        decoder_conf=dict(num_blocks=6),
        optim="adam",
        max_epoch=50,
    )
    own = dict(encoder="transformer", decoder="rnn", decoder_conf=dict(num_layers=1))
    assert merge_configs(base, own) == dict(
        encoder="transformer", decoder="rnn", decoder_conf=dict(num_layers=1)
    )
