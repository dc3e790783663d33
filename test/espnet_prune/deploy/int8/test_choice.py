# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is int8 of a trained model: as far as it is faster and loses little."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from espnet_prune.bin.deploy import get_parser
from espnet_prune.deploy.int8 import parts as known
from espnet_prune.deploy.int8.choice import command, decide, package
from espnet_prune.deploy.int8.choice.judge import Heard, Judge
from espnet_prune.deploy.int8.choice.package import quantise_package, small_weights
from espnet_prune.deploy.int8.choice.speech import find_speech
from espnet_prune.deploy.int8.choice.table import as_text
from espnet_prune.deploy.int8.quantize import load
from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.models import load_model
from espnet_prune.runtime.recognizer import Recognizer
from espnet_prune.utils import UserError, read_json, write_json

pytestmark = pytest.mark.runtime("onnxruntime")

SAMPLE = Path(__file__).parents[4] / "egs2/an4/asr_prune1/sample"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """Return the trained model of the repository without decoder, and its speech."""
    folder = tmp_path_factory.mktemp("deployed")
    files = SAMPLE / "model/config.yaml", SAMPLE / "model/valid.acc.ave.pth"
    model, config = load_model(*files)
    model.decoder = None
    export_model(model, config, folder)
    write_tokens(config, folder)
    speech = find_speech(SAMPLE / "test", config, folder / "speech")
    assert len(speech.audio) == len(speech.texts) == 12
    assert len(set(speech.speakers.values())) == 8
    return folder, speech


@pytest.fixture
def fresh(deployed, tmp_path, monkeypatch):
    """Return a copy, of which every part is said to be faster in int8."""
    folder, speech = tmp_path / "out", deployed[1]
    shutil.copytree(deployed[0], folder)

    only(monkeypatch)
    monkeypatch.setattr(decide, "in_turns", lambda *more: {"fp32": 2.0, "int8": 1.0})
    return folder, speech


def only(monkeypatch, *names):
    """Let some parts take half of the time in int8, by default all."""

    def times_of(model, parts, *more):
        ms = {name: 1.0 if name in (names or parts) else 1.8 for name in parts}
        return {name: {"fp32": 2.0, "int8": ms[name]} for name in parts}

    monkeypatch.setattr(decide, "times_of", times_of)


def test_all_parts_pay(fresh):
    folder, speech = fresh
    found = json.loads(json.dumps(quantise_package(folder, speech)))
    assert found["parts"] and all(row["int8"] for row in found["parts"])
    file = found["files"]["model"]
    assert file["score"]["loss"] <= 0.5 and file["score"]["alike"] > 0.98
    assert file["bytes"]["int8"] < 0.45 * file["bytes"]["fp32"]
    config = read_json(folder / "config.json")
    assert config["precision"] == "int8"
    assert config["files"]["model"] == {"fp32": "model.onnx", "int8": "model.int8.onnx"}
    name = next(iter(speech.audio))
    assert Recognizer(folder)(speech.audio[name]).text == speech.texts[name]
    text = as_text(found)
    assert "| feed-forward |" in text and "2.00 x as fast" in text
    assert "(8 speakers)" in text and "of the frames alike" in text


def test_decoder(fresh, deployed, monkeypatch):
    """It is judged by what it says, on some of the utterances."""
    folder, speech = fresh
    files = SAMPLE / "model/config.yaml", SAMPLE / "model/valid.acc.ave.pth"
    model, config = load_model(*files)
    export_model(model, config, folder, {"beam_size": 2, "ctc_weight": 0.0})
    monkeypatch.setattr(package, "SEARCHED", 2)
    only(monkeypatch, "output")
    found = quantise_package(folder, speech, max_wer_loss=100.0)
    assert [row["file"] for row in found["parts"] if row["int8"]] == ["decoder"]
    score = found["files"]["decoder"]["score"]
    assert score["utterances"] == 2 and score["alike"] is None
    config = read_json(folder / "config.json")
    assert config["files"]["decoder"]["int8"] == "decoder.int8.onnx"
    assert "int8" not in config["files"]["model"] and config["precision"] == "int8"
    name = next(iter(speech.audio))
    assert Recognizer(folder)(speech.audio[name]).text


def test_what_is_not_faster_stays(fresh, monkeypatch):
    folder, speech = fresh

    only(monkeypatch, "feed-forward")
    found = quantise_package(folder, speech)
    rows = {row["part"]: row for row in found["parts"]}
    assert [name for name, row in rows.items() if row["int8"]] == ["feed-forward"]
    assert rows["attention"]["why"] == "1.11 x as fast"
    assert found["files"]["model"]["bytes"]["int8"] > 2e6


def test_a_model_that_is_not_faster_stays(fresh, monkeypatch):
    folder, speech = fresh
    only(monkeypatch, "feed-forward")
    monkeypatch.setattr(decide, "in_turns", lambda *more: {"fp32": 1.1, "int8": 1.0})
    found = quantise_package(folder, speech)
    assert not any(row["int8"] for row in found["parts"])
    rows = {row["part"]: row for row in found["parts"]}
    assert rows["feed-forward"]["why"] == "the whole is 1.10 x as fast"
    assert read_json(folder / "config.json")["precision"] == "fp32"
    assert not list(folder.glob("*.int8.onnx"))
    assert "model: stays fp32" in as_text(found)
    found = quantise_package(folder, speech, must_be_faster=False)
    assert all(row["int8"] for row in found["parts"])


def folded(path):
    """Work out what is constant, so that the front end has weights."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def test_the_front_end_loses_too_much(fresh, monkeypatch):
    folder, speech = fresh
    folded(folder / "model.onnx")
    assert "others" not in known.parts_of(load(folder / "model.onnx"))
    only(monkeypatch, "others", "feed-forward")
    monkeypatch.setattr(known, "_FRONT", re.compile("nothing is called so"))
    found = quantise_package(folder, speech)
    rows = {row["part"]: row for row in found["parts"]}
    assert rows["others"]["why"].startswith("loses +")
    assert not rows["others"]["int8"] and rows["feed-forward"]["int8"]
    assert found["files"]["model"]["score"]["loss"] <= 0.5


def test_wrong_calibration_is_found(fresh, monkeypatch):
    """Ranges of silence are none of speech."""
    folder, speech = fresh
    only(monkeypatch, known.CONVS, "feed-forward")

    def quiet(audio, config, plain=package.of_speech):
        return plain(np.full_like(audio, 1e-9), config)

    monkeypatch.setattr(package, "of_speech", quiet)
    found = quantise_package(folder, speech)
    rows = {row["part"]: row for row in found["parts"]}
    assert rows[known.CONVS]["why"].startswith("loses +")
    assert rows["feed-forward"]["int8"]


def test_judged_by_itself_and_by_utterance(deployed):
    folder, speech = deployed
    speech = package.Speech(speech.audio)
    judge, names = Judge(folder, speech), list(speech.audio)
    plain = Heard({name: "one two" for name in names}, {})
    other = Heard({**plain.texts, names[0]: "one"}, {})
    score = judge.compare(plain, other)
    assert score["against"] == "fp32" and score["drawn"] == "12 utterances"
    assert score["loss"] == pytest.approx(100 / 24)
    assert score["interval"][0] == 0.0 < score["interval"][1]


def test_nothing_is_long_enough(deployed):
    folder, speech = deployed
    short = {name: audio[:100] for name, audio in speech.audio.items()}
    with pytest.raises(UserError, match="no utterance is long enough"):
        quantise_package(folder, package.Speech(short))


def test_few_bits(fresh):
    folder, _ = fresh
    sizes = small_weights(folder, 4)
    assert list(sizes) == ["model.w4.onnx"]
    assert sizes["model.w4.onnx"] < 0.4 * os.path.getsize(folder / "model.onnx")
    config = read_json(folder / "config.json")
    config["files"]["model"]["fp32"] = "model.w4.onnx"
    write_json(config, folder / "config.json")
    Recognizer(folder)


def test_command(deployed, tmp_path, monkeypatch, capsys):
    """The model and a size below it, whose tokens lie above."""
    only(monkeypatch, "feed-forward")
    monkeypatch.setattr(decide, "in_turns", lambda *more: {"fp32": 2.0, "int8": 1.0})
    monkeypatch.setattr(command, "find_speech", lambda *given: deployed[1])
    out, size = tmp_path / "out", tmp_path / "out/size_50"
    shutil.copytree(deployed[0], out)
    size.mkdir()
    for name in ("model.onnx", "config.json"):
        shutil.copy(out / name, size)
    conf = ["--model", "m", "--output_dir", "o"]
    args = get_parser().parse_args([*conf, "--calibration", "x", "--weight_bits", "8"])
    found = command.write_smaller(args, {}, [out, size])
    assert list(found["int8"]) == ["", "size_50"]
    assert list(found["weights"]) == ["model.w8.onnx", "size_50/model.w8.onnx"]
    for folder in (out, size):
        assert read_json(folder / "config.json")["precision"] == "int8"
        assert read_json(folder / "int8.json")["parts"]
    assert "size_50\nint8 on" in capsys.readouterr().err
    for words, sentence in (
        (["--int8", "true"], "give speech by --calibration"),
        (["--max_wer_loss", "-1"], "--max_wer_loss must be"),
    ):
        with pytest.raises(UserError, match=sentence):
            command.check_options(get_parser().parse_args([*conf, *words]))
