# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gates and a teacher in ESPnet's training."""

import json
import sys

import pytest
import torch
import yaml

from espnet_prune.utils import UserError
from test.espnet_prune.train.gated import L0, command, load_gated


def test_gated_run_writes_stock_config_and_plain_weights(tiny, dense, train):
    output = tiny.root / "gated"
    train(command(tiny, dense, output, epochs=2))
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["model"] == "espnet"
    plain = torch.load(dense / "valid.acc.ave.pth", weights_only=True)
    weights = torch.load(output / "weights.pth", weights_only=True)
    assert weights.keys() == plain.keys()
    assert not list(output.glob("valid.*")) and not (output / "1epoch.pth").exists()
    model, gates = load_gated(output)
    assert float(gates.lagrangian.step) == 6  # 2 epochs of 6 batches, 2 per step
    assert gates.structure()["encoder"].kept_blocks == [0, 1]
    lines = (output / "select.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4]
    assert {"kd_layer", "kd_ctc", "kd_att", "loss"} <= json.loads(lines[-1]).keys()


def build(tiny, dense, **changes):
    """Build a model as the task does for training."""
    from espnet_prune.train.command import get_parser
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
    from espnet_prune.train.command import get_parser
    from espnet_prune.train.task import PruneASRTask

    conf = dict(tiny.config["encoder_conf"], structure=widths)
    changes = dict(l0_conf=None, encoder="pruned_conformer", encoder_conf=conf)
    changes.update(distill_conf=dict(layers=2, matching=matching))
    cmd = command(tiny, dense, tiny.root / "built", **changes)
    model = PruneASRTask.build_model(get_parser().parse_args(cmd))
    hook = model.hooks[0]
    assert hook.existing == [False, True] and hook.kept_blocks == [0, 1]
    seen = []
    original = hook.match
    hook.match = lambda *args: seen.append(original(*args)) or seen[-1]
    loss, stats, _ = model.train()(**batch())
    loss.backward()
    expected = [(1, 1)] if matching == "fixed" else [(0, 1), (1, 1)]
    assert seen == [expected] and float(stats["kd_layer"]) > 0


def test_teacher_is_outside_and_untouched(tiny, dense, train):
    task, args, model = build(tiny, dense)
    teacher = model.hooks[1].teacher.model
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


UNLABELLED = dict(
    labels=False, distance="l1_cosine", block_input=True, projections=True, layers=2
)


def test_without_labels_only_hidden_states_teach(tiny, dense, train):
    changes = dict(l0_conf=dict(L0, drop=1e-6))
    _, _, model = build(tiny, dense, distill_conf=UNLABELLED, **changes)
    no_dropout(model.train())
    speech = {k: v for k, v in batch().items() if not k.startswith("text")}
    _, stats, _ = model(**speech)
    assert float(stats["loss"]) == pytest.approx(0.0, abs=1e-6)
    assert "kd_ctc" not in stats and "loss_ctc" not in stats
    with torch.no_grad():
        model.encoder.embed.conv[0].weight.mul_(1.5)
    loss, stats, weight = model(**speech)
    loss.backward()
    assert float(stats["loss"]) > 1e-3 and float(weight) == 2
    assert model.projections.input_weight.grad.any()
    assert model.projections.blocks_weight.grad.any()
    assert model.gates.theta.grad.any()
    assert all(p.grad is None for p in model.ctc.parameters())
    # the text, if there is any, changes nothing, and validation has the same measure
    model.eval()
    with_text, without = (model(**data)[1]["loss"] for data in (batch(), speech))
    assert float(with_text) == float(without) > 0


def test_training_without_labels_needs_no_text(tiny, dense, train):
    output = tiny.root / "unlabelled"
    changes = dict(distill_conf=UNLABELLED, best_model_criterion=None)
    cmd = command(tiny, dense, output, epochs=1, **changes)
    pairs = list(zip(cmd[::2], cmd[1::2]))
    cmd = [x for pair in pairs if not pair[1].endswith(",text") for x in pair]
    train(cmd)
    plain = torch.load(dense / "valid.acc.ave.pth", weights_only=True)
    weights = torch.load(output / "weights.pth", weights_only=True)
    assert weights.keys() == plain.keys()
    learned = torch.load(output / "projections.pth", weights_only=True)
    moved = learned["blocks_weight"] - torch.eye(16)
    assert 0 < float(moved.abs().max()) < 0.5
    # a training that goes on from these projections, after the cut
    conf = dict(UNLABELLED, projections=str(output / "projections.pth"))
    _, _, model = build(tiny, dense, distill_conf=conf)
    assert torch.equal(model.projections.blocks_weight, learned["blocks_weight"])
    with pytest.raises(UserError, match="labels: false"):
        changes["distill_conf"] = dict(layers=2)
        tiny.write_config(tiny.root / "unlabelled.yaml", **changes)
        train(cmd)
