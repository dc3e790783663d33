# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""No command takes a checkpoint with a tensor too many, too few, or of another name."""

import shutil
from pathlib import Path

import pytest
import torch

from espnet_prune.utils import UserError
from test.espnet_prune.releases.make import options
from test.espnet_prune.test_releases import CONFIG, EXP, PAIR, finetune, lay_out, run

KEY = "encoder.after_norm.weight"
BAD = EXP / "bad.pth"


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """Change to a directory with an experiment, a selection, and a cut model."""
    folder = tmp_path_factory.mktemp("strict")
    lay_out(folder, "202511")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("select", "--config", "magnitude.yaml", *PAIR, "--output_dir", "select")
        Path("sets.txt").write_text("1\n")
        record = Path("select/structure.json")
        record.write_text(record.read_text().replace("dense_sha256", "unused"))
        yield folder


@pytest.fixture(params=["renamed", "missing", "unknown"])
def bad(request, exp):
    """Write a checkpoint with one fault; return what the sentence must name."""
    state = torch.load(EXP / "model.pth", weights_only=True)
    if request.param == "unknown":
        state["encoder.extra.weight"] = torch.ones(2)
    else:
        value = state.pop(KEY)
        if request.param == "renamed":
            state["encoder.after_norms.weight"] = value
    torch.save(state, BAD)
    return "has the unknown encoder.extra" if request.param == "unknown" else KEY


def resume(output):
    """Go on from a checkpoint of a training with that model."""
    shutil.copytree(EXP, output)
    states = torch.load(EXP / "checkpoint.pth", weights_only=False)
    torch.save({**states, "model": torch.load(BAD)}, Path(output) / "checkpoint.pth")
    finetune(output, "--resume", "true")


def average(output):
    from espnet_prune.train.averaging import mean_of

    mean_of([EXP / "model.pth", BAD])


def inference(output):
    words = ["--asr_train_config", CONFIG, "--asr_model_file", BAD, "--ngpu", 0]
    words += ["--data_path_and_name_and_type", "data/valid_wav.scp,speech,sound"]
    run("asr_inference", *words, "--output_dir", output)


def on_demand(output):
    from espnet_prune.deploy import OnDemandSpeech2Text

    OnDemandSpeech2Text(CONFIG, BAD)


def task(output):
    from espnet_prune.train.task import PruneASRTask

    PruneASRTask.build_model_from_file(CONFIG, BAD)


def report(output):
    for name in ("dense", "pruned", "pruned/cut"):
        Path(output, name).mkdir(parents=True)
        shutil.copyfile(CONFIG, Path(output, name, "config.yaml"))
        shutil.copyfile(BAD, Path(output, name, "model.pth"))
    words = ["--dense_exp", f"{output}/dense", "--prune_exp", f"{output}/pruned"]
    run("report", *words, "--model", "model.pth", "--decode", "decode")


MODEL = ("--model_config", CONFIG, "--model_file", BAD)
L0 = ("--config", "l0.yaml", *MODEL, *options()[2:])
COMMANDS = {
    "check_model": lambda out: run("check_model", *MODEL),
    "verify": lambda out: run("verify", *MODEL, "--structures", 1),
    "similarity": lambda out: run("similarity", *MODEL, "--output_dir", out),
    "evaluate_blocks": lambda out: run(
        "evaluate_blocks", *MODEL, "--sets", "sets.txt", "--output", out
    ),
    "select": lambda out: run(
        "select", "--config", "magnitude.yaml", *MODEL, "--output_dir", out
    ),
    "select l0": lambda out: run("select", *L0, "--output_dir", out),
    "cut": lambda out: run(
        "cut", *MODEL, "--select_dir", "select", "--output_dir", out
    ),
    "export": lambda out: run(
        "export", *MODEL, "--keep_blocks", "1", "--output_dir", out
    ),
    "init_model": lambda out: run(
        *("init_model", "--config", "model.yaml", *options()[:2]),
        *("--output_dir", out, "--init_param", BAD),
    ),
    "--init_param": lambda out: finetune(out, "--init_param", str(BAD)),
    "--init_param of a part": lambda out: finetune(
        out, "--init_param", f"{BAD}:encoder:encoder"
    ),
    "--teacher_model": lambda out: finetune(
        out, "--teacher_model", str(BAD), "--teacher_config", CONFIG
    ),
    "--resume": resume,
    "average": average,
    "asr_inference": inference,
    "OnDemandSpeech2Text": on_demand,
    "build_model_from_file": task,
    "pack": lambda out: run("pack", "--exp_dir", EXP, "--model", "bad.pth"),
    "report": report,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(command, bad, tmp_path):
    output = tmp_path / "out"
    with pytest.raises(UserError, match=bad):
        COMMANDS[command](str(output))
    assert not list(output.rglob("*epoch.pth")) or command == "--resume"
    assert command in ("--resume", "report") or not list(output.rglob("model.pth"))


def test_a_part_that_is_named_leaves_the_rest(exp):
    """The rest is what `--init_param` says; what it leaves is said on request."""
    part = str(EXP / "model.pth") + ":encoder:encoder:encoder.after_norm"
    finetune("part", "--init_param", part)
    ours, theirs = (
        torch.load(p, weights_only=True) for p in ("part/1epoch.pth", EXP / "model.pth")
    )
    equal = {k for k in ours if torch.equal(ours[k], theirs[k])}
    assert "encoder.embed.out.0.weight" in equal
    assert KEY not in equal
    assert "decoder.embed.0.weight" not in equal


def test_what_is_left_out_on_request_is_named(exp, caplog):
    state = torch.load(EXP / "model.pth", weights_only=True)
    part = {key: value for key, value in state.items() if not key.startswith("ctc.")}
    torch.save({**part, "other.weight": torch.ones(1)}, "part.pth")
    with pytest.raises(UserError, match="lacks ctc.ctc_lo.bias and 1 more"):
        finetune("refused", "--init_param", "part.pth")
    given = ("--init_param", "part.pth", "--ignore_init_mismatch", "true")
    finetune("taken", *given)
    assert (
        "lacks ctc.ctc_lo.bias and 1 more; has the unknown other.weight" in caplog.text
    )
