# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Weights in every form that training loops leave them in are the same weights."""

import argparse
import copy
import os
import sys
from pathlib import Path

import pytest
import torch

from espnet_prune.checkpoints import read_weights
from espnet_prune.models import load_model, load_pretrained
from espnet_prune.utils import UserError, write_yaml
from test.espnet_prune import deep
from test.espnet_prune.tones import TOKENS


def named(change):
    return lambda state: {change(key): value for key, value in state.items()}


FORMS = {
    "DDP": named("module.{}".format),
    "compiled": named("_orig_mod.{}".format),
    "compiled within DDP": named("module._orig_mod.{}".format),
    "a part compiled": named(lambda k: k.replace("encoder.", "encoder._orig_mod.", 1)),
    "FSDP": named(lambda k: k.replace("encoders.", "encoders._fsdp_wrapped_module.")),
    "state_dict": lambda state: {"state_dict": state},
    "DeepSpeed": lambda state: {"module": state, "dp_world_size": 2},
    "of a trainer": lambda state: {
        "model": state,
        "optimizers": [{"state": {0: {"step": torch.ones(1)}}, "param_groups": []}],
        "epoch": 3,
    },
    "s3prl": lambda state: {"model_weight": state, "model_cfg": {"dim": 3}},
    "fairseq": lambda state: {"args": argparse.Namespace(lr=1), "model": state},
    "Lightning": lambda state: {"state_dict": named("model.{}".format)(state)},
    "twice": lambda state: {"state": {"module": named("module.{}".format)(state)}},
    "a number beside": lambda state: {**state, "epoch": 3},
}


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """Change to a directory with a model of CTC alone; return its weights."""
    pytest.importorskip("espnet2")
    folder = tmp_path_factory.mktemp("forms")
    state = deep.make_model(deep.CONFIG).state_dict()
    write_yaml(deep.CONFIG, folder / "config.yaml")
    torch.save(state, folder / "model.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield state


def equal(found, state):
    return found.keys() == state.keys() and all(
        torch.equal(found[k], state[k]) for k in state
    )


@pytest.mark.parametrize("form", FORMS)
def test_what_is_around_weights_is_taken_off(form, exp):
    torch.save(FORMS[form](exp), "form.pth")
    assert equal(read_weights("form.pth"), exp)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(kind, exp):
    from espnet_prune.train.averaging import mean_of

    floats = {k for k, v in exp.items() if v.is_floating_point()}
    half = {k: v.to(kind) if k in floats else v for k, v in exp.items()}
    torch.save(half, "half.pth")
    expected = {k: v.float() if k in floats else v for k, v in half.items()}
    for found in (
        read_weights("half.pth"),
        load_model("config.yaml", "half.pth")[0].state_dict(),
        mean_of([Path("half.pth"), Path("half.pth")]),
    ):
        assert equal(found, expected)
        assert {found[k].dtype for k in floats} == {torch.float32}


@pytest.mark.parametrize(
    "content, words",
    [
        (
            {"model": {"w": torch.ones(1)}, "ema": {"w": torch.ones(1)}},
            r'several entries \(model, ema\); save .*\(FILE\)\["model"\], NEW_FILE',
        ),
        (
            {"w": torch.ones(1), "model": {"w": torch.ones(1)}},
            r"several entries \(model, tensors\)",
        ),
        ({"epoch": 3}, "there are no weights in it"),
        ([torch.ones(1)], "holds a list"),
    ],
)
def test_what_is_ambiguous_is_named(content, words, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=f"x.pth: .*{words}"):
        read_weights(tmp_path / "x.pth")


def test_a_missing_file_names_those_that_are_there(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "valid.acc.ave_10best.pth")
    for path in (tmp_path / "model.pth", tmp_path):
        with pytest.raises(UserError, match="has valid.acc.ave_10best.pth, give one"):
            read_weights(path)


def test_every_command_reads_them(exp):
    """Checked, decoded, as teacher, by --init_param: the weights, not random ones."""
    from espnet_prune.deploy import OnDemandSpeech2Text
    from espnet_prune.distill.teacher import load_teacher
    from espnet_prune.train.averaging import mean_of
    from espnet_prune.train.task import PruneASRTask

    torch.save(FORMS["DDP"](exp), "ddp.pth")
    model, _ = load_model("config.yaml", "ddp.pth")
    assert equal(model.state_dict(), exp)
    decoder = OnDemandSpeech2Text("config.yaml", "ddp.pth", ctc_weight=1.0)
    assert equal(decoder.asr_model.state_dict(), exp)
    assert equal(
        PruneASRTask.build_model_from_file(None, "ddp.pth")[0].state_dict(), exp
    )
    assert equal(load_teacher(None, "ddp.pth", model).state_dict(), exp)
    assert equal(mean_of([Path("ddp.pth"), Path("model.pth")]), exp)
    for source in ("", ":module.encoder:encoder", ":encoder:encoder"):
        other = copy.deepcopy(model)
        torch.nn.init.zeros_(other.encoder.after_norm.weight)
        load_pretrained(f"ddp.pth{source}", other)
        assert equal(other.state_dict(), exp)


def test_lora_is_in_the_weights_that_espnet_saves(exp, caplog):
    key = "encoder.encoders.0.self_attn.linear_q"
    adapters = {f"{key}.lora_A": torch.ones(2, 16), f"{key}.lora_B": torch.ones(16, 2)}
    torch.save({**exp, **adapters}, "lora.pth")
    lora = {"use_adapter": True, "adapter": "lora", "adapter_conf": {"rank": 2}}
    write_yaml({**deep.CONFIG, **lora}, "lora.yaml")
    model, config = load_model("lora.yaml", "lora.pth")
    assert equal(model.state_dict(), exp) and config["use_adapter"] is False
    assert "2 matrices of adapters are left out" in caplog.text
    torch.save(adapters, "only.pth")
    with pytest.raises(UserError, match="without the weights.*merge the adapters"):
        load_model("lora.yaml", "only.pth")
    write_yaml({**deep.CONFIG, **lora, "adapter": "houlsby"}, "houlsby.yaml")
    with pytest.raises(UserError, match="adapter houlsby is not supported; merge it"):
        load_model("houlsby.yaml", "model.pth")
    peft = {k.replace(f"{key}.", f"{key}.base_layer."): v for k, v in exp.items()}
    torch.save(peft, "peft.pth")
    with pytest.raises(UserError, match="it has adapters: merge them"):
        load_model("config.yaml", "peft.pth")


def test_a_decoder_that_the_model_goes_without(exp, caplog):
    torch.save({**exp, "decoder.embed.0.weight": torch.ones(2, 2)}, "old.pth")
    assert equal(load_model("config.yaml", "old.pth")[0].state_dict(), exp)
    assert (
        "1 weights of the decoder are not used, since ctc_weight is 1.0" in caplog.text
    )
    # one that it does not go without
    whole = {"decoder": "transformer", "decoder_conf": {"num_blocks": 1}}
    write_yaml({**deep.CONFIG, **whole, "model_conf": {}}, "whole.yaml")
    with pytest.raises(UserError, match="lacks decoder.*unknown decoder.extra"):
        torch.save({**exp, "decoder.extra": torch.ones(2)}, "extra.pth")
        load_model("whole.yaml", "extra.pth")


def test_the_older_name_of_a_self_supervised_frontend():
    from espnet_prune.tensor_names import as_here

    old, new = "frontend.upstream.model.w", "frontend.upstream.upstream.model.w"
    assert as_here({old: 1}, [new]) == {new: 1}
    assert as_here({old: 1}, [old]) == {old: 1}


def test_a_config_of_an_older_espnet_has_the_defaults(exp):
    keys = ("token_list", "frontend_conf", "encoder", "encoder_conf", "model_conf")
    write_yaml({key: deep.CONFIG[key] for key in keys}, "few.yaml")
    assert equal(load_model("few.yaml", "model.pth")[0].state_dict(), exp)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_no_file_runs_code(exp):
    """Neither a model's, nor that of --init_param, nor a language model's."""
    from espnet2.tasks.asr import ASRTask
    from espnet2.tasks.lm import LMTask

    from espnet_prune.strict import strict_loading

    def loaded(task, *files):
        with strict_loading():
            return task.build_model_from_file(*files)[0]

    torch.save({"x": Bomb(), **exp}, "bomb.pth")
    conf = {"token_list": TOKENS, "lm_conf": {"unit": 4, "nlayers": 1}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lm"])
        write_yaml({**LMTask.get_default_config(), **conf}, "lm.yaml")
    lm, _ = LMTask.build_model_from_file("lm.yaml", None)
    for load in (
        lambda: load_pretrained("bomb.pth", lm),
        lambda: loaded(ASRTask, "config.yaml", "bomb.pth"),
        lambda: loaded(LMTask, "lm.yaml", "bomb.pth"),
    ):
        with pytest.raises(UserError, match="bomb.pth: .*could run code"):
            load()
    assert not Path("exploded").exists()
    state = lm.state_dict()
    torch.save(state, "lm.pth")
    assert equal(loaded(LMTask, "lm.yaml", "lm.pth").state_dict(), state)
    state.popitem()
    torch.save(state, "lm.pth")
    with pytest.raises(UserError, match="lm.pth lacks lm"):
        loaded(LMTask, "lm.yaml", "lm.pth")
