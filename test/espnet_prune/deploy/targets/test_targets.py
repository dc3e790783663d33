# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""`deploy --for`: what is asked for is written where it fits, or refused at once."""

import logging
import shutil

import numpy as np
import pytest
import soundfile

from espnet_prune.bin.deploy import main as deploy
from espnet_prune.bin.prove import main as prove
from espnet_prune.deploy.targets import TARGETS, write
from espnet_prune.deploy.targets.target import Target
from espnet_prune.utils import UserError, read_json
from test.espnet_prune.deep import HYBRID, write_model

SPEECH = ["--calibration", "audio", "--int8", "false"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A hybrid model in exp/, one without CTC in attention/, and audio/."""
    folder = tmp_path_factory.mktemp("place")
    write_model(folder / "exp", HYBRID)
    conf = {**HYBRID["model_conf"], "ctc_weight": 0.0}
    write_model(folder / "attention", {**HYBRID, "model_conf": conf})
    (folder / "audio").mkdir()
    draw = np.random.default_rng(0)
    for i in range(3):
        samples = 0.1 * draw.normal(size=8000 + 100 * i)
        soundfile.write(folder / "audio" / f"{i}.wav", samples, 16000)
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr("espnet_prune.deploy.proof.signals.LENGTHS", (1,))


def deployed(model, *words):
    """Call deploy; returns what is written."""
    shutil.rmtree("out", ignore_errors=True)
    deploy(["--model", model, "--output_dir", "out", *words])
    return read_json("out/deploy.json")


@pytest.mark.runtime("sherpa-onnx")
def test_what_is_written_is_recorded_and_told(place, capsys):
    proof = deployed("exp", *SPEECH, "--for", "sherpa-onnx")
    found = proof["targets"]["sherpa-onnx"]
    assert found["slot"] == "moonshine_v2" and found["precision"] == "fp32"
    assert found["texts"]["alike"] == found["texts"]["of"] == 3
    names = [f"sherpa-onnx/{n}" for n in ("decoder.onnx", "encoder.onnx", "tokens.txt")]
    assert found["files"] == names and set(names) < set(proof["sha256"])
    assert found["version"] and "no times of tokens" in found["limits"]
    page = (place / "out" / "README.md").read_text()
    assert 'encoder="sherpa-onnx/encoder.onnx"' in page and "* no times of" in page
    assert f"sherpa-onnx {found['version']} heard in 3 of 3 utterances" in page
    # a proof of it says so again, and sees what was changed
    prove(["out", "--recorded"])
    prove(["out"])
    told = f"sherpa-onnx {found['version']}, moonshine_v2 in fp32: 3 of 3 texts alike"
    assert told in capsys.readouterr().out
    assert read_json("out/deploy.json")["targets"] == proof["targets"]
    tokens = place / "out" / names[2]
    tokens.write_text(tokens.read_text().replace(" 5\n", " 6\n"))
    with pytest.raises(UserError, match="sherpa-onnx/tokens.txt is missing, or not th"):
        prove(["out"])


@pytest.mark.runtime("onnxruntime-web")
def test_a_page_is_written(place):
    proof = deployed("exp", *SPEECH, "--web")
    found = proof["targets"]["web"]
    assert (found["package"], found["slot"]) == ("onnxruntime-web", "page")
    assert found["texts"]["alike"] == found["texts"]["of"] == 3
    assert {"web/index.html", "web/models/model.onnx"} < set(found["files"])
    assert set(found["files"]) < set(proof["sha256"])
    page = (place / "out" / "README.md").read_text()
    assert "python -m http.server --directory web" in page


@pytest.mark.parametrize(
    "words, told",
    [
        (
            [*SPEECH, "--for", "sherpa"],
            "--for sherpa: is not known .did you mean 'sher",
        ),
        (["--for", "sherpa-onnx"], "sherpa-onnx: nothing says that it hears the same;"),
        (["--for", "onnx-asr, all"], "--for onnx-asr,all: nothing says"),
    ],
)
def test_bad_options_are_told_before_the_model_is_read(words, told):
    with pytest.raises(UserError, match=told):
        deployed("nowhere", *words)


def test_a_model_that_does_not_fit_is_told_before_anything_is_written(monkeypatch):
    export = "espnet_prune.deploy.run.export_model"
    monkeypatch.setattr(export, lambda *_: pytest.fail("it was exported"))
    told = "--for sherpa-onnx: cannot take the model; .*moonshine_v2: decodes by CTC"
    for given in ("sherpa-onnx", "all, sherpa-onnx"):
        with pytest.raises(UserError, match=told):
            deployed("attention", *SPEECH, "--for", given)
    one = TARGETS["sherpa-onnx"]
    gone = Target("sherpa-onnx", "sherpa-onnx-that-is-not-there", (), one.slots)
    monkeypatch.setitem(TARGETS, "sherpa-onnx", gone)
    with pytest.raises(UserError, match="not installed; call pip install sherpa-onnx-"):
        deployed("exp", *SPEECH, "--for", "sherpa-onnx")


def test_all_leaves_out_what_does_not_fit(monkeypatch, caplog):
    one = {"sherpa-onnx": TARGETS["sherpa-onnx"]}
    monkeypatch.setattr(write, "TARGETS", one)
    assert "targets" not in deployed("attention", *SPEECH, "--for", "all")
    told = "--for sherpa-onnx: cannot take the model; "
    assert any(r.message.startswith(told) for r in caplog.records)


@pytest.mark.runtime("sherpa-onnx")
def test_another_release_is_told(monkeypatch, caplog):
    target = TARGETS["sherpa-onnx"]
    old = Target(target.name, target.package, ("0.9",), target.slots)
    monkeypatch.setattr(Target, "slot", lambda *_: target.slots[-1])
    with caplog.at_level(logging.WARNING):
        found = write.choose({"sherpa-onnx": old}, ["all"], None, {})
    release = found["sherpa-onnx"].version
    assert release == target.version()
    assert (
        f"release {release} of sherpa-onnx is installed, 0.9 was tried" in caplog.text
    )
