# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The real recipe, from waveforms to the report, on four tones that spell letters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import yaml

from test.egs2.preloaded import Preloaded
from test.egs2.tiny_recipe import REPO, TONES, make_recipe


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """What runs the stages: ESPnet, which takes longest to import, is there already."""
    with Preloaded(tmp_path_factory.mktemp("python")) as server:
        yield server.python


def prune_sh(folder, python, *options):
    """Call the recipe; returns the finished process, stdout and stderr together."""
    env = dict(os.environ, PYTHONPATH=str(REPO), OMP_NUM_THREADS="1")
    return subprocess.run(
        ["./run.sh", "--python", python, *options],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, python):
    """Run every stage; returns the recipe directory and what was printed."""
    folder = make_recipe(tmp_path_factory.mktemp("pipeline"))
    done = prune_sh(folder, python, "--skip_deploy", "false")
    assert done.returncode == 0, done.stdout[-4000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # ESPnet's configs hold paths relative to the recipe
        yield folder, done.stdout


@pytest.fixture(scope="module")
def models(finished):
    """Return (config, checkpoint) of the dense, the cut and the recovered model."""
    exp = Path("exp")
    dense = exp / "asr_train_asr_raw_char"
    pruned = exp / "asr_train_asr_raw_char_prune"
    return {
        "dense": (dense / "config.yaml", dense / "valid.acc.ave.pth"),
        "cut": (pruned / "cut" / "config.yaml", pruned / "cut" / "model.pth"),
        "pruned": (pruned / "config.yaml", pruned / "valid.acc.ave.pth"),
    }


def test_files_of_a_run(finished, models):
    pruned = models["pruned"][0].parent
    verify = json.loads((pruned / "cut" / "verify.json").read_text())
    assert verify["equal"] and verify["max_abs_diff"] <= 1e-5
    norms = verify["batch_norm"]
    better = norms["dev_loss_after"] <= norms["dev_loss_before"]
    assert norms["utterances"] > 0 and norms["refreshed"] == better
    cost = json.loads((pruned / "cut" / "cost.json").read_text())
    dense = json.loads((models["dense"][0].parent / "cost.json").read_text())
    assert 0.45 < cost["encoder_params"] / dense["encoder_params"] <= 0.5
    lines = (pruned / "select" / "select.jsonl").read_text().splitlines()
    assert {"step", "target", "reached", "multiplier"} <= set(json.loads(lines[-1]))
    structure = json.loads((pruned / "select" / "structure.json").read_text())
    assert len(structure["provenance"]["dense_sha256"]) == 64
    assert (pruned / "RESULTS.md").stat().st_size > 0
    assert "WER" in finished[1] and "encoder" in finished[1]


def test_intents_are_one_token_and_scored(finished, models):
    folder = finished[0]
    assert (folder / "data/intents.txt").read_text().split() == [
        f"from_{letter.lower()}" for letter in TONES
    ]
    texts = (folder / "dump/raw/train/text").read_text().splitlines()
    # the intent, a blank, and the letters are what training sees
    expected = [f"{t.split()[0]} {2 + len(t.split()[2])}" for t in texts]
    shapes = folder / "exp/asr_stats_raw_char/train/text_shape"
    assert shapes.read_text().splitlines() == expected
    report = json.loads((models["pruned"][0].parent / "report.json").read_text())
    for values in report["models"]:
        intent = values["scores"]["test"]["intent"]
        assert intent["snt"] == 4 and 0 <= intent["rate"] <= 100
    assert "intent acc. test" in finished[1]
    config = yaml.safe_load(models["pruned"][0].read_text())
    assert config["non_linguistic_symbols"] == "data/intents.txt"


def test_what_is_deployed_hears_what_espnet_hears(models):
    exp = models["pruned"][0].parent
    proof = json.loads((exp / "deploy" / "deploy.json").read_text())
    assert proof["passed"] and proof["source"]["checkpoint"].endswith("ave.pth")
    (by_espnet,) = exp.glob("decode_asr_*ave/test/text")
    (heard,) = exp.glob("decode_asr_*ave_onnx/test/text")
    score = json.loads((heard.parents[1] / "score.json").read_text())
    assert heard.read_text() == by_espnet.read_text() and score


def test_finished_stages_are_skipped(finished):
    """The report is made again, by Python itself: nothing else is heard at the end."""
    done = prune_sh(finished[0], sys.executable, "--skip_deploy", "false")
    assert done.returncode == 0
    before, after = (
        text.split("Finished in")[1].splitlines() for text in (finished[1], done.stdout)
    )
    assert before[1].split() == after[1].split() and "model" in before[1]
    assert (len(before), before[-1]) == (len(after), after[-1])
    assert "Stage 17: Recover by fine-tuning, skipped" in done.stdout or (
        done.stdout.count("skipped") >= 14
    )


def test_pruned_model_is_a_plain_checkpoint(models):
    import torch

    state = torch.load(models["pruned"][1], weights_only=True)
    assert not [k for k in state if "gate" in k or "mask" in k or "teacher" in k]
    config = yaml.safe_load(models["pruned"][0].read_text())
    assert config["model"] == "espnet" and config["encoder"] == "pruned_conformer"


def test_speech2text_after_register(finished, models):
    """The route of Python users; decodes what the recipe decoded."""
    import espnet_prune

    espnet_prune.register()
    from espnet2.bin.asr_inference import Speech2Text

    folder = finished[0]
    config, model = map(str, models["pruned"])
    decode = Speech2Text(config, model, beam_size=1, ctc_weight=0.5, maxlenratio=-8)
    results = models["pruned"][0].parent.glob("decode_asr_*/test/text")
    expected = dict(
        (line + " ").split(" ", 1) for line in next(results).read_text().splitlines()
    )
    for line in (folder / "dump/raw/test/wav.scp").read_text().splitlines():
        name, path = line.split()
        wave, _ = soundfile.read(folder / path)
        assert decode(wave)[0][0].strip() == expected[name].strip()


def test_averaged_loading_is_strict(models):
    from espnet_prune.models import load_model
    from espnet_prune.utils import UserError

    for config, model in models.values():
        load_model(config, model)
    with pytest.raises(UserError, match="has another shape for encoder"):
        load_model(models["dense"][0], models["pruned"][1])


def test_commands_refuse_bad_input(models, tmp_path, monkeypatch):
    from espnet_prune.bin import cut, select
    from espnet_prune.utils import UserError

    config, model = map(str, models["dense"])
    base = ["--model_config", config, "--model_file", model]
    pruned = models["pruned"][0].parent

    def prune(conf, *more):
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(conf))
        out = ["--output_dir", str(tmp_path / "out")]
        select.main(["--config", str(tmp_path / "p.yaml"), *base, *out, *more])

    for conf, words in (
        ({"method": "l1"}, "did you mean 'l0'"),
        ({"methd": "l0"}, "did you mean 'method'"),
        ({"budget": {"sparsity": 0.999}}, "at most"),
        ({"budget": {"cnn": 0.9999}}, "of the front part.*at most"),
        ({"budget": {"cnn": 0.4, "sparsity": 0.4}}, "one or the other"),
        ({"method": "layers", "budget": {"cnn": 0.4}}, "method layers goes with one"),
        ({"l0_conf": {"ramp_steps": 5, "gate_lr": 0.1}}, "ramp_steps"),
    ):
        with pytest.raises(UserError, match=words):
            prune(conf)
    assert not (tmp_path / "out").exists()

    # the selection of another model, and the directory of another structure
    other = models["cut"]
    with pytest.raises(UserError, match="selected from another model"):
        cut.main(
            ["--model_config", str(other[0]), "--model_file", str(other[1])]
            + ["--select_dir", str(pruned / "select"), "--output_dir", str(tmp_path)]
        )
    with pytest.raises(UserError, match="--sparsity goes with one sparsity"):
        prune({"budget": [{"sparsity": 0.3}, {"cnn": 0.3}]}, "--sparsity", "0.5")
    assert not (tmp_path / "out").exists()
    prune({"method": "magnitude", "budget": {"sparsity": 0.3}})
    before = (pruned / "cut" / "model.pth").read_bytes()
    with pytest.raises(UserError, match="another structure"):
        cut.main(
            [*base, "--select_dir", str(tmp_path / "out")]
            + ["--output_dir", str(pruned / "cut")]
        )
    assert (pruned / "cut" / "model.pth").read_bytes() == before


def test_verify_command(models, capsys):
    from espnet_prune.bin import verify

    config, model = map(str, models["dense"])
    verify.main(["--model_config", config, "--model_file", model, "--structures", "3"])
    result = json.loads(capsys.readouterr().out)
    assert result["equal"] and result["params_match"]


def test_layers_stages(finished, models):
    """Depth on demand from the same model, the search in two jobs, no recovery.

    By Python itself: each process imports what it needs.
    """
    folder = finished[0]
    layers = {"search": "iterative", "depth_table": True, "metric": "cer"}
    conf = dict(method="layers", num_remove=1, layers_conf=layers)
    (folder / "conf" / "layers.yaml").write_text(yaml.safe_dump(conf))
    options = ["--stage", "14", "--prune_config", "conf/layers.yaml"]
    options += ["--stop_stage", "17", "--recover_config", "none", "--search_nj", "2"]
    done = prune_sh(folder, sys.executable, *options)
    assert done.returncode == 0, done.stdout[-4000:]
    dense = models["dense"][0].parent
    pruned = dense.parent / f"{dense.name}_layers"
    assert len(list(pruned.glob("select/jobs/evaluate.1.*.tsv"))) == 2
    record = json.loads((pruned / "select/structure.json").read_text())["provenance"]
    assert record["evaluations"] == record["expected_evaluations"] == 2
    for path in ("similarity_svcca.npz", "images/similarity_svcca.png"):
        assert (dense / path).stat().st_size > 0
    table = json.loads((dense / "depth_table.json").read_text())
    assert [entry["depth"] for entry in table["depths"]] == [2, 1]
    # one block of equal width: any ESPnet can load it
    config = yaml.safe_load((pruned / "config.yaml").read_text())
    assert config["encoder"] == "conformer"
    assert config["encoder_conf"]["num_blocks"] == 1
    last, cut = pruned / "valid.acc.ave.pth", pruned / "cut/model.pth"
    assert last.read_bytes() == cut.read_bytes()
