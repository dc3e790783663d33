# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json
import re
from pathlib import Path

import pytest

from espnet_prune.utils import UserError, write_yaml
from test.espnet_prune import deep

KEYS = ("frontend", "frontend_conf", "encoder", "encoder_conf", "model_conf")
TRAIN = {"batch_type": "numel", "batch_bins": 400000, "max_epoch": 3}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    pytest.importorskip("espnet2")
    monkeypatch.chdir(tmp_path)
    write_yaml({**{key: deep.CONFIG[key] for key in KEYS}, **TRAIN}, "train.yaml")
    prune = {"method": "l0", "budget": {"kind": "params", "sparsity": 0.5}}
    prune.update(l0_conf={"ramp_steps": 70}, train_conf={**TRAIN, "max_epoch": 1})
    write_yaml(prune, "prune.yaml")
    write_yaml({**prune, "distill_conf": {"layers": 2}}, "taught.yaml")
    write_yaml({"method": "layers", "num_remove": 2}, "layers.yaml")
    write_yaml({**TRAIN, "distill_conf": {"layers": 2}}, "recover.yaml")
    return tmp_path


def run(*more, prune=("prune.yaml",), hours="1"):
    from espnet_prune.bin.dry_run import main

    command = ["--asr_config", "train.yaml", "--vocab", "30", "--hours", hours]
    command += ["--seconds", "2", "--json", "found.json", "--prune_config", *prune]
    main([*command, *more])
    with open("found.json", encoding="utf-8") as stream:
        return json.load(stream)["models"][0]


def test_what_is_told(folder, capsys):
    found = run(
        *("--recover_config", "recover.yaml", "--tflops", "0.001"),
        prune=("prune.yaml", "taught.yaml", "layers.yaml"),
    )
    batch = 400000 // (2 * (16000 + 4 * 30)) * 2
    assert found["batch_seconds"] == batch == 24
    assert found["steps"] == 3600 * 3 // batch
    work = found["gflops_per_second"] * 1e9 * found["steps"] * batch
    assert found["gpu_hours"] == pytest.approx(work / 1e9 / 3600)
    state = 16 * found["total_params"] / 1e9
    assert found["gb"] > state
    plain, taught, layers = found["selections"]
    assert plain["asked"] == {"params": 0.5} and 0.9 < plain["at_most"]["params"] < 1
    assert plain["steps"] == found["steps"] // 3
    assert plain["gpu_hours"] == pytest.approx(found["gpu_hours"] / 3)
    # a teacher adds its forward pass, a third of a step or more, and its weights
    assert 1.33 < taught["gpu_hours"] / plain["gpu_hours"] < 1.5
    assert taught["gb"] - plain["gb"] == pytest.approx(state / 4)
    assert (layers["asked"], layers["at_most"]) == ({"blocks": 2}, {"blocks": 4})
    assert "gpu_hours" not in layers
    (recovery,) = found["recoveries"]
    assert recovery["gpu_hours"] == pytest.approx(3 * taught["gpu_hours"])
    text = capsys.readouterr().out
    assert text.count("train.yaml") == 5 and "one block has to stay" in text


def test_options_of_the_stages_count(folder):
    found = run(
        "--asr_args=--use_amp true --max_epoch 6", "--prune_args=--sparsity 0.3"
    )
    other = run("--ngpu", "4")
    assert found["epochs"] == 6 and found["selections"][0]["asked"] == {"params": 0.3}
    state = 16 * found["total_params"] / 1e9
    assert found["gb"] - state == pytest.approx(2 * (other["gb"] - state))


def test_seconds_are_those_of_the_frontend(folder):
    plain, found = run(prune=()), {}
    assert plain["frames"] == 1000
    for rate, hop in ((16000, 80), (8000, 80)):
        conf = {**deep.CONFIG["frontend_conf"], "fs": rate, "hop_length": hop}
        own = {**{key: deep.CONFIG[key] for key in KEYS}, **TRAIN}
        write_yaml({**own, "frontend_conf": conf}, "train.yaml")
        found[rate] = run(prune=())
    assert found[16000]["frames"] == 2000 and found[8000]["frames"] == 1000
    assert found[8000]["gmacs"] == plain["gmacs"] < found[16000]["gmacs"] / 1.9
    assert found[8000]["batch_seconds"] == pytest.approx(2 * 24, abs=2)
    same = plain["gflops_per_second"]  # the same frames, from fewer samples
    assert found[8000]["gflops_per_second"] == pytest.approx(same, rel=0.02)


def test_what_cannot_be_done_is_told_after_all_else(folder, capsys):
    conf = {"method": "magnitude", "budget": {"kind": "params", "sparsity": 0.9999}}
    write_yaml(conf, "far.yaml")
    with pytest.raises(UserError, match="far.yaml: budget: .*at most 0.9") as error:
        run(prune=("far.yaml", "prune.yaml"))
    assert "norms and other layers" in str(error.value)
    assert "prune.yaml" in capsys.readouterr().out
    with pytest.raises(UserError, match="ramp_steps 70 would not be over"):
        run(hours="0.4")
    with pytest.raises(UserError, match="of 5 blocks 1 to 4 can be removed"):
        run("--prune_args=--num_remove 7", prune=("layers.yaml",))


def test_the_configuration_of_the_docs(folder):
    """It fits into a training on a corpus as small as AN4."""
    text = (Path(__file__).parents[3] / "docs" / "budgets.md").read_text(
        encoding="utf-8"
    )
    (example,) = re.findall(r"^```yaml\n(method: l0.*?)^```", text, re.M | re.S)
    Path("docs.yaml").write_text(example, encoding="utf-8")
    (row,) = run(prune=("docs.yaml",), hours="0.7")["selections"]
    assert row["asked"] == {"params": 0.5} and row["steps"] > 250
    with pytest.raises(UserError, match="ramp_steps 250 would not be over"):
        run(prune=("docs.yaml",), hours="0.1")


def test_the_default_ramp_counts(folder):
    conf = {"method": "l0", "train_conf": {**TRAIN, "max_epoch": 1}}
    write_yaml(conf, "plain.yaml")
    with pytest.raises(UserError, match="ramp_steps 500 would not be over.*150 steps"):
        run(prune=("plain.yaml",))


@pytest.mark.parametrize(
    "options, message",
    [
        (("--hours", "0"), "--hours 0.0 must be above 0"),
        (("--vocab", "3"), "at least 4"),
        (("--asr_config", "none.yaml"), "none.yaml"),
        (("--asr_args=--max_epohc 2",), "max_epohc"),
        (("--asr_args=--encoder_conf heads=2",), "unknown key 'heads'"),
        (("--prune_args=--optim_conf lrr=2",), "unknown key 'lrr'"),
    ],
)
def test_bad_input(folder, options, message):
    with pytest.raises(UserError, match=message):
        run(*options)
