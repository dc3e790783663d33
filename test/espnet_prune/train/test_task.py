# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Everything that needs ESPnet's task, in one module: its import takes seconds."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch.optim.optimizer import register_optimizer_step_post_hook

from espnet_prune.utils import UserError

L0 = dict(budget=dict(kind="params", sparsity=0.4), ramp_steps=62, log_interval=2)
DISTIL = dict(layers=2)


@pytest.fixture(scope="module")
def train():
    pytest.importorskip("espnet2")
    torch.set_num_threads(1)
    from espnet_prune.bin import asr_train

    return asr_train.main


@pytest.fixture(scope="module")
def dense(tiny, train):
    """Train the teacher once."""
    path = tiny.root / "dense"
    config = tiny.write_config(tiny.root / "dense.yaml", max_epoch=2)
    train(["--config", config, "--output_dir", str(path), *tiny.options])
    return path


def command(tiny, dense, output, epochs=3, **changes):
    """Return the gated training command."""
    changes = {"l0_conf": L0, "distill_conf": DISTIL, "accum_grad": 2, **changes}
    config = tiny.write_config(
        tiny.root / f"{output.name}.yaml", max_epoch=epochs, batch_size=2, **changes
    )
    teacher = str(dense / "valid.acc.ave.pth")
    return [
        *("--config", config, "--output_dir", str(output), "--resume", "true"),
        *("--teacher_model", teacher, "--init_param", teacher, *tiny.options),
    ]


def same(a, b):
    """Say whether two files hold the same tensors, bit for bit."""
    a, b = (torch.load(p, weights_only=True) for p in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def in_child(function):
    """Run in a forked process; return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            function()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def killed_at(number):
    """Patch this process so that event `number` ends it with SIGKILL."""
    count = [0]

    def event(*unused):
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1

    def watch(owner, name):
        original = getattr(owner, name)

        def call(*args, **kwargs):
            event()
            result = original(*args, **kwargs)
            event()
            return result

        setattr(owner, name, call)

    watch(os, "replace")
    watch(Path, "unlink")
    watch(Path, "symlink_to")
    register_optimizer_step_post_hook(event)
    return count


def count_events(run):
    """Return how many places for a kill one run has."""
    reader, writer = os.pipe()

    def child():
        count = killed_at(-1)
        run()
        os.write(writer, str(count[0]).encode())

    assert in_child(child) == 0
    os.close(writer)
    return int(os.read(reader, 100))


def test_gated_run_writes_stock_config_and_plain_weights(tiny, dense, train):
    output = tiny.root / "gated"
    train(command(tiny, dense, output, epochs=2))
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["model"] == "espnet"
    plain = torch.load(dense / "valid.acc.ave.pth", weights_only=True)
    weights = torch.load(output / "weights.pth", weights_only=True)
    assert weights.keys() == plain.keys()
    assert not list(output.glob("valid.*")) and not (output / "1epoch.pth").exists()
    from espnet_prune.train.task import load_gated

    model, gates = load_gated(output)
    assert float(gates.lagrangian.step) == 6  # 2 epochs of 6 batches, 2 per step
    assert gates.structure().kept_blocks == [0, 1]
    lines = (output / "select.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4]
    assert {"kd_layer", "kd_ctc", "kd_att", "loss"} <= json.loads(lines[-1]).keys()


def test_killed_anywhere_ends_like_an_uninterrupted_run(tiny, dense, train):
    whole = tiny.root / "whole"
    total = count_events(lambda: train(command(tiny, dense, whole)))
    assert total > 30
    numbers = range(5, total, max(1, total // 4))
    for number in numbers:
        output = tiny.root / f"killed{number}"

        def run(number=number, output=output):
            killed_at(number)
            train(command(tiny, dense, output))

        assert os.WTERMSIG(in_child(run)) == signal.SIGKILL
        train(command(tiny, dense, output))
        for name in ("weights.pth", "gates.pth"):
            assert same(whole / name, output / name), (number, name)
        logs = [(d / "select.jsonl").read_text() for d in (whole, output)]
        assert logs[0] == logs[1], number
        assert {p.name for p in output.iterdir()} == {p.name for p in whole.iterdir()}


def test_killed_distillation_averages_the_same_models(tiny, dense, train):
    whole = tiny.root / "recover_whole"
    changes = dict(l0_conf=None, epochs=4, keep_nbest_models=2)
    total = count_events(lambda: train(command(tiny, dense, whole, **changes)))
    for number in (total // 3, total - 4):
        output = tiny.root / f"recover_killed{number}"

        def run(number=number, output=output):
            killed_at(number)
            train(command(tiny, dense, output, **changes))

        assert os.WTERMSIG(in_child(run)) == signal.SIGKILL
        train(command(tiny, dense, output, **changes))
        assert same(whole / "valid.acc.ave.pth", output / "valid.acc.ave.pth")
        assert {p.name for p in output.iterdir()} == {p.name for p in whole.iterdir()}


def test_two_processes_train_and_resume(tiny, dense, train):
    """Distributed training on the CPU, then one more epoch from its checkpoint."""
    output = tiny.root / "two"
    for epochs in (1, 2):
        meeting = tiny.root / f"meeting{epochs}"
        children = []
        for rank in (0, 1):
            options = {
                "dist_backend": "gloo",
                "dist_init_method": f"file://{meeting}",
                "dist_world_size": "2",
                "dist_rank": str(rank),
            }
            words = [w for k, v in options.items() for w in (f"--{k}", v)]
            cmd = [*command(tiny, dense, output, epochs=epochs), *words]
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    train(cmd)
                    status = 0
                finally:
                    os._exit(status)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    states = torch.load(output / "gates.pth", weights_only=True)
    assert float(states["lagrangian.step"]) == 6
    lines = (output / "select.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4]


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


def test_stopped_early_stays_stopped(tiny, dense, train, caplog):
    output = tiny.root / "patience"
    changes = dict(l0_conf=None, optim_conf=dict(lr=0.0), scheduler=None)
    changes.update(patience=1, early_stopping_criterion=["valid", "loss", "min"])
    cmd = command(tiny, dense, output, epochs=9, **changes, scheduler_conf={})
    train(cmd)
    before = sorted(p.name for p in output.iterdir())
    assert "9epoch.pth" not in before
    train(cmd)
    assert sorted(p.name for p in output.iterdir()) == before


def build(tiny, dense, **changes):
    """Build a model as the task does for training."""
    from espnet_prune.bin.asr_train import get_parser
    from espnet_prune.train.task import PruneASRTask

    cmd = command(tiny, dense, tiny.root / "built", **changes)
    args = get_parser().parse_args(cmd)
    torch.manual_seed(0)
    model = PruneASRTask.build_model(args)
    model.load_state_dict(
        torch.load(dense / "valid.acc.ave.pth", weights_only=True), strict=False
    )
    return PruneASRTask, args, model


def batch():
    generator = torch.Generator().manual_seed(0)
    return dict(
        speech=torch.randn(2, 16000, generator=generator),
        speech_lengths=torch.tensor([16000, 12000]),
        text=torch.tensor([[2, 3, 4], [5, 2, -1]]),
        text_lengths=torch.tensor([3, 2]),
        utt_id=["a", "b"],
    )


def no_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
        if hasattr(module, "dropout_rate"):
            module.dropout_rate = 0.0


@pytest.mark.parametrize("matching", ["fixed", "nearest", "nearest_in_order"])
def test_loss_is_zero_when_student_equals_teacher(tiny, dense, train, matching):
    conf = dict(layers=2, matching=matching)
    changes = dict(l0_conf=dict(L0, drop=1e-6), distill_conf=conf)
    _, _, model = build(tiny, dense, **changes)
    no_dropout(model.train())
    _, stats, _ = model(**batch())
    for key in ("kd_layer", "kd_ctc", "kd_att"):
        assert float(stats[key]) == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        model.encoder.encoders[0].feed_forward.w_1.weight.mul_(1.5)
    _, stats, _ = model(**batch())
    for key in ("kd_layer", "kd_ctc", "kd_att"):
        assert float(stats[key]) > 1e-6


@pytest.mark.parametrize("matching", ["fixed", "nearest", "nearest_in_order"])
def test_cut_student_learns_only_in_blocks_that_exist(tiny, dense, train, matching):
    widths = dict(
        attention_heads=[0, 1],
        linear_units=[0, 8],
        macaron_linear_units=[0, 0],
        conv_channels=[0, 4],
        subsampling_channels=[8, 8],
        kept_blocks=[0, 1],
    )
    from espnet_prune.bin.asr_train import get_parser
    from espnet_prune.train.task import PruneASRTask

    conf = dict(tiny.config["encoder_conf"], structure=widths)
    changes = dict(l0_conf=None, encoder="pruned_conformer", encoder_conf=conf)
    changes.update(distill_conf=dict(layers=2, matching=matching))
    cmd = command(tiny, dense, tiny.root / "built", **changes)
    model = PruneASRTask.build_model(get_parser().parse_args(cmd))
    assert model.existing == [False, True] and model.kept_blocks == [0, 1]
    seen = []
    original = model._match
    model._match = lambda *args: seen.append(original(*args)) or seen[-1]
    loss, stats, _ = model.train()(**batch())
    loss.backward()
    expected = [(1, 1)] if matching == "fixed" else [(0, 1), (1, 1)]
    assert seen == [expected] and float(stats["kd_layer"]) > 0


def test_teacher_is_outside_and_untouched(tiny, dense, train):
    task, args, model = build(tiny, dense)
    teacher = model.teacher.model
    own = {id(p) for p in teacher.parameters()}
    (optimizer,) = task.build_optimizers(args, model)
    assert not own & {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert not own & {id(p) for p in model.parameters()}
    assert not any("teacher" in key for key in model.state_dict())
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    model.train()
    for _ in range(2):
        model(**batch())[0].backward()
        optimizer.step()
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


def test_gates_are_a_group_of_their_own(tiny, dense, train):
    from espnet_prune.train.trainer import hold_rates

    changes = dict(optim="adamw", optim_conf=dict(lr=0.1, weight_decay=0.5))
    task, args, model = build(tiny, dense, **changes)
    (optimizer,) = task.build_optimizers(args, model)
    weights, gates = optimizer.param_groups
    assert [id(p) for p in gates["params"]] == [id(model.gates.theta)]
    assert gates["weight_decay"] == 0.0 and weights["weight_decay"] == 0.5
    assert id(model.gates.theta) not in {id(p) for p in weights["params"]}
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    hold_rates([optimizer], [scheduler])
    optimizer.step()
    scheduler.step()
    assert gates["lr"] == model.gates.gate_lr
    assert weights["lr"] == pytest.approx(0.01)
    assert isinstance(scheduler, torch.optim.lr_scheduler.StepLR)


def test_validation_is_the_stock_forward(tiny, dense, train):
    _, _, model = build(tiny, dense)
    _, stats, _ = model.eval()(**batch())
    assert not any(key.startswith("kd_") for key in stats)
    assert not model._forward_hooks and not model.ctc.ctc_lo._forward_hooks


def test_autocast_keeps_gates_and_losses_in_fp32(tiny, dense, train):
    _, _, model = build(tiny, dense)
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, stats, _ = model(**batch())
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    assert stats["sparsity"].dtype == stats["kd_ctc"].dtype == torch.float32
    assert model.gates.theta.grad.dtype == torch.float32


def test_a_loss_that_stays_infinite_ends_the_run(tiny, dense, train):
    _, _, model = build(tiny, dense)
    data = batch()
    data["speech"] = data["speech"] * float("nan")
    with pytest.raises(UserError, match="not finite .* in a row"):
        for _ in range(25):
            model.train()(**data)


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
    from espnet_prune.bin.asr_train import get_parser, read_command

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


def tiny_tokens(config):
    return yaml.safe_load(Path(config).read_text())["token_list"]


def test_base_config_of_another_class_drops_its_conf():
    from espnet_prune.bin.asr_train import merge_configs

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


def test_stock_task_loads_a_gated_directory(tiny, dense, train):
    from espnet2.tasks.asr import ASRTask

    output = tiny.root / "stock"
    train(command(tiny, dense, output, epochs=1))
    model, _ = ASRTask.build_model_from_file(
        output / "config.yaml", output / "weights.pth"
    )
    assert type(model).__name__ == "ESPnetASRModel"
    assert "espnet_prune" not in type(model.encoder).__module__
    assert sys.modules["espnet2.tasks.asr"] is not None
