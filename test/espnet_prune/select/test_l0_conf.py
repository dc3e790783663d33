# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Values of l0_conf are looked at before any training."""

import pytest
import torch

from espnet_prune import UserError, attach_gates
from espnet_prune.select.l0.conf import drop_rates
from espnet_prune.utils import write_yaml
from test.espnet_prune import deep
from test.espnet_prune.encoder_zoo import build

BAD = [
    (dict(drop=1), "drop is 1, must be a number above 0 and below 1"),
    (dict(drop="0.5"), "drop is '0.5'"),
    (dict(drop={"heads": 0.5}), "drop: unknown key 'heads' .did you mean 'head'"),
    (dict(drop={"head": 0.5, "ffn": 0.3}), "unknown key 'ffn'.*'ffn_unit'"),
    (dict(drop={"head": 2}), "drop of head is 2"),
    (dict(clamp=-1), "clamp is -1, must be a number above 0"),
    (dict(clamp=0.5), "clamp 0.5 lets gates close only so far that 0.* goes"),
    (dict(penalty=-50.0), "penalty is -50.0, must be a number of at least 0"),
    (dict(penalty=True), "penalty is True"),
    (dict(dual_rate=-1), "dual_rate is -1"),
    (dict(violation_limit=0), "violation_limit is 0, must be a number above 0"),
    (dict(ramp_steps="100"), "ramp_steps is '100', must be a whole number"),
    (dict(ramp_steps=100.5), "ramp_steps is 100.5, must be a whole number"),
    (dict(ramp_steps=0), "ramp_steps is 0"),
    (dict(gate_lr=-0.3), "gate_lr is -0.3"),
    (dict(gate_lr="2e-1"), "gate_lr is '2e-1'.*write 1.0e-3"),
    (dict(gate_lr=float("nan")), "gate_lr is nan"),
    (dict(extra_steps=-1), "extra_steps is -1"),
    (dict(extra_steps="many"), "extra_steps is 'many'"),
    (dict(log_interval=0), "log_interval is 0"),
    (dict(seed="one"), "seed is 'one'"),
]


@pytest.mark.parametrize("conf, words", BAD)
def test_one_sentence(conf, words):
    conf = {"ramp_steps": 100, **conf}
    with pytest.raises(UserError, match=words) as error:
        attach_gates(build("latest"), budget={"sparsity": 0.5}, **conf)
    assert "\n" not in str(error.value)


def test_values_at_the_edge_are_taken():
    conf = dict(penalty=0, dual_rate=0, extra_steps=0, drop={"head": 0.5}, seed=-1)
    gates = attach_gates(build("latest"), budget={"sparsity": 0.5}, **conf)
    assert gates.extra_steps == 0
    assert attach_gates(build("latest"), ramp_steps=70).extra_steps == 140
    rates = drop_rates({"head": 0.5})
    assert rates["head"] == 0.5 and rates["module"] == 0.01


def test_the_smallest_clamp_that_reaches_the_budget_is_taken():
    gates = attach_gates(build("latest"), budget={"sparsity": 0.5}, clamp=1.0)
    with torch.no_grad():
        gates.theta.fill_(-1.0)
    assert 0.5 < float(gates.sparsity().detach()) < 0.6


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    """Return a function that writes a selection and dense.yaml."""
    pytest.importorskip("espnet2")
    monkeypatch.chdir(tmp_path)
    deep.make_exp(tmp_path / "exp", deep.make_model(deep.CONFIG))
    keys = ("frontend", "frontend_conf", "encoder", "encoder_conf", "model_conf")
    write_yaml({key: deep.CONFIG[key] for key in keys}, "dense.yaml")

    def write(**conf):
        budget = {"kind": "params", "sparsity": 0.5}
        write_yaml({"method": "l0", "budget": budget, **conf}, "prune.yaml")

    return write


@pytest.mark.parametrize(
    "conf, words",
    [
        (dict(l0_conf={"ramp_steps": "100"}), "ramp_steps is '100'"),
        (dict(l0_conf={"ramp_step": 100}), "'ramp_step'.*'ramp_steps'"),
        (dict(l0_conf={"drop": {"heads": 0.5}}), "unknown key 'heads'"),
        (dict(l0_conf=[1]), r"l0_conf is \[1\], must be a mapping"),
        (dict(train_conf="adam"), "train_conf is 'adam', must be a mapping"),
        (dict(units="head"), "units is 'head', must be a list"),
        (dict(units=3), "units is 3, must be a list"),
        (dict(units=[]), r"units: \[\] is not a list"),
        (dict(seed="x"), "seed is 'x'"),
    ],
)
def test_select_and_dry_run_say_the_same(yaml, conf, words):
    from espnet_prune.bin import dry_run, select

    yaml(**conf)
    with pytest.raises(UserError, match=words):
        dry_run.main(
            ["--asr_config", "dense.yaml", "--vocab", "30", "--seconds", "1"]
            + ["--prune_config", "prune.yaml"]
        )
    with pytest.raises(UserError, match=words):
        select.main(
            ["--config", "prune.yaml", "--output_dir", "out"]
            + ["--model_config", "exp/config.yaml", "--model_file", "exp/model.pth"]
        )


def test_data_and_gpus_that_are_missing(yaml, monkeypatch, capsys):
    from espnet_prune.bin import asr_inference, asr_train, select

    yaml(l0_conf={"ramp_steps": 70})
    command = ["--config", "prune.yaml", "--output_dir", "out"]
    command += ["--model_config", "exp/config.yaml", "--model_file", "exp/model.pth"]
    with pytest.raises(
        UserError, match="lacks data; give --train_data_path.*--train_shape_file.*valid"
    ):
        select.main(command)
    data = ["--train_data_path_and_name_and_type", "a,speech,sound"]
    with pytest.raises(UserError, match="give --train_shape_file FILE, --valid_data"):
        select.main([*command, *data])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    words = r"--ngpu 2: torch .* finds 1 GPU\(s\) here; give --ngpu 1"
    for main, options in (
        (select.main, command),
        (asr_train.main, ["--output_dir", "out", "--token_list", "none.txt"]),
        (asr_inference.main, ["--output_dir", "out"]),
    ):
        more = []
        if main is asr_inference.main:
            more = ["--data_path_and_name_and_type", "a,speech,sound"]
        with pytest.raises(UserError, match=words):
            main([*options, *more, "--ngpu", "2"])
