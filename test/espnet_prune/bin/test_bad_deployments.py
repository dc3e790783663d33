# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Bad input of deploy, prove and transcribe: one sentence each, and exit code 2."""

import re
import shutil

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper

from espnet_prune.bin import deploy, prove, transcribe
from espnet_prune.deploy.proof import prove as prove_files
from espnet_prune.utils import read_json, run_main, write_json
from test.espnet_prune.deep import HYBRID, write_model
from test.espnet_prune.deploy.proof.models import deployed

RATE = 16000
COMMANDS = {"deploy": deploy, "prove": prove, "transcribe": transcribe}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A deployed model with its proof in out/, and its experiment in exp/."""
    from espnet_prune.deploy.onnx.describe import write_tokens
    from espnet_prune.deploy.proof import signals

    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signals, "LENGTHS", (1,))
        out, model, config, source = deployed(place, HYBRID)
        write_tokens(config, out)
        prove_files(out, model, config, source)
    return place


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A directory of its own with both, and with audio."""
    shutil.copytree(made / "out", tmp_path / "out")
    shutil.copytree(made / "exp", tmp_path / "exp")
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for name, shape in (("fine", RATE), ("stereo", (RATE, 2)), ("one", 1), ("none", 0)):
        soundfile.write(f"{name}.wav", 0.1 * draw.normal(size=shape), RATE, "FLOAT")
    soundfile.write("slow.wav", 0.1 * draw.normal(size=8000), 8000)
    bad = np.zeros(RATE, np.float32)
    bad[100] = np.nan
    soundfile.write("nan.wav", bad, RATE, "FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    return tmp_path


def call(capsys, *words):
    """Run a command; returns its exit code and what it said at the end."""
    name, *rest = words
    code = 0
    try:
        run_main(lambda: COMMANDS[name].main([*rest]))
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err.strip().splitlines()[-1:]


def lacking(path):
    """Write an ONNX file whose operator nobody has."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N"]) for n in "xy"]
    node = helper.make_node("Wavelet", ["x"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    sets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), str(path))


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_lines(path):
    path.write_text("A 0\nB 7\n")


def another_format(path):
    write_json({**read_json(path), "format": 99}, path)


DEPLOY = ["deploy", "--output_dir", "new", "--model"]
AUDIO = ["transcribe", "out", "fine.wav"]
# what is called, what is done to which file before, and what is said
CASES = {
    "deploy: no model": ([*DEPLOY, "empty"], "empty", "mkdir", "has no config.yaml"),
    "deploy: nothing": ([*DEPLOY, "./nowhere"], None, None, "no such file or directo"),
    "deploy: no checkpoint": ([*DEPLOY, "exp"], "exp/model.pth", "unlink", r"\.pth"),
    "deploy: no config": ([*DEPLOY, "exp"], "exp/config.yaml", "unlink", "config.yaml"),
    "deploy: broken": ([*DEPLOY, "exp"], "exp/model.pth", cut_off, "not a readable"),
    "deploy: no search": (
        [*DEPLOY, "exp", "--inference_config", "x.yaml"],
        None,
        None,
        "x.yaml: no such file",
    ),
    "deploy: over other files": (
        ["deploy", "--model", "exp", "--output_dir", "exp"],
        None,
        None,
        "exp: holds other files; give a new",
    ),
    "prove: no directory": (["prove", "nowhere"], None, None, "has no config.json"),
    "prove: no file": (["prove", "out"], "out/model.onnx", "unlink", "is missing"),
    "prove: broken": (["prove", "out"], "out/decoder.onnx", cut_off, "not a whole ONN"),
    "prove: an operator": (["prove", "out"], "out/model.onnx", lacking, "Wavelet"),
    "prove: no tokens": (
        ["prove", "out", "--recorded"],
        "out/tokens.txt",
        "unlink",
        "out/tokens.txt: is missing; copy the whole",
    ),
    "prove: another file": (
        ["prove", "out", "--recorded"],
        "out/memory.onnx",
        cut_off,
        "is not the file that deploy.json is about",
    ),
    "transcribe: no model": (["transcribe", "exp", "fine.wav"], None, None, "no deplo"),
    "transcribe: nowhere": (["transcribe", "x", "fine.wav"], None, None, "no deployed"),
    "transcribe: no file": (AUDIO, "out/model.onnx", "unlink", "is missing"),
    "transcribe: no decoder": (AUDIO, "out/decoder.onnx", "unlink", "is missing"),
    "transcribe: broken": (AUDIO, "out/model.onnx", cut_off, "is not a whole ONNX"),
    "transcribe: an operator": (AUDIO, "out/model.onnx", lacking, "operator Wavelet"),
    "transcribe: tokens": (AUDIO, "out/tokens.txt", other_lines, "line 2"),
    "transcribe: a format": (AUDIO, "out/config.json", another_format, "of format 99"),
    "transcribe: no JSON": (AUDIO, "out/config.json", cut_off, "not valid JSON"),
    "transcribe: empty": (["transcribe", "out", "none.wav"], None, None, "is empty"),
    "transcribe: one sample": (
        ["transcribe", "out", "one.wav"],
        None,
        None,
        "1 samples .* are too few for this model, which needs",
    ),
    "transcribe: not finite": (
        ["transcribe", "out", "nan.wav"],
        None,
        None,
        r"nan.wav: sample 100 \(0.006 s\).* is nan",
    ),
    "transcribe: no audio": (
        ["transcribe", "out", "text.wav"],
        None,
        None,
        "text.wav: libsndfile cannot read it",
    ),
    "transcribe: no such audio": (
        ["transcribe", "out", "gone.wav"],
        None,
        None,
        "gone.wav: no such file",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case, here, capsys):
    words, name, damage, told = CASES[case]
    if name:
        path = here / name
        getattr(path, damage)() if isinstance(damage, str) else damage(path)
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    code, said = call(capsys, *words)
    assert code == 2 and said, said
    assert said[0].startswith("espnet_prune: error: ") and re.search(
        told, said[0]
    ), said
    after = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    changed = {
        p.name for p in before.keys() | after.keys() if before.get(p) != after.get(p)
    }
    # a proof that fails is recorded as one; nothing else is left
    assert changed <= ({"deploy.json"} if words[0] == "prove" else set())


@pytest.mark.parametrize("name", ["slow", "stereo", "fine"])
def test_audio_that_is_unusual(name, here, capsys):
    """8 kHz is resampled and channels are mixed."""
    code, said = call(capsys, "transcribe", "out", f"{name}.wav")
    assert code == 0 and "1 files, 1.0 s of audio" in said[0]


def test_a_model_that_cannot_be_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sliding = {"win_length": 400, "hop_length": 160}
    other = {"frontend": "sliding_window", "frontend_conf": sliding}
    write_model(tmp_path / "exp", {**HYBRID, **other})
    code, said = call(capsys, *DEPLOY, "exp")
    assert code == 2 and "frontend: sliding_window cannot be exported" in said[0]
    assert not (tmp_path / "new").exists()
