# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""sherpa-onnx with features of its own: texts, times and batches are ours.

Written and compared with release 2.0.1 of sherpa-onnx.
"""

import dataclasses
import json

import numpy as np
import onnx
import pytest

from espnet_prune.deploy.int8.quantize import quantise
from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.targets.sherpa.fbank import Fbank
from espnet_prune.deploy.targets.sherpa.slot import results
from espnet_prune.models import load_model
from espnet_prune.runtime.package import read_package
from espnet_prune.runtime.recognizer import Recognizer
from test.espnet_prune.fbank_sample import waves, write_fbank_sample

FACTS = {"frontend": "kaldi_fbank", "frontend_conf": {"fs": "16k"}}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """The trained model of this repository, with Kaldi's filter banks."""
    root = tmp_path_factory.mktemp("fbank")
    write_fbank_sample(root / "model")
    files = root / "model/config.yaml", root / "model/valid.acc.ave.pth"
    model, config = load_model(*files)
    model.decoder = None
    found = export_model(model.eval(), config, root / "out")
    write_tokens(config, root / "out")
    given = [
        {"speech": wave[None], "lengths": np.array([len(wave)])} for wave in waves()
    ]
    quantise(root / "out/model.onnx", root / "out/model.int8.onnx", given)
    found["files"]["model"]["int8"] = "model.int8.onnx"
    (root / "out/config.json").write_text(json.dumps(found))
    return root / "out"


def written(deployed, folder, precision="fp32"):
    """Return sherpa-onnx's recogniser of what the slot writes."""
    package = read_package(deployed)
    assert Fbank().unfit(package, FACTS) is None
    folder.mkdir()
    Fbank().write(package, package.file("model", precision), folder)
    return Fbank().recognizer(folder)


@pytest.mark.runtime("sherpa-onnx")
def test_texts_and_times_are_ours_alone_and_in_a_batch(deployed, tmp_path):
    theirs = written(deployed, tmp_path / "sherpa-onnx")
    ours = Recognizer(deployed, decoding="ctc_greedy")
    batch = results(theirs, waves())
    for wave, there in zip(waves(), batch):
        (alone,), here = results(theirs, [wave]), ours(wave)
        assert alone.text == there.text == Fbank().spaced(here.text)
        assert len(alone.text.split()) > 1
        assert alone.timestamps == there.timestamps
        np.testing.assert_allclose(alone.timestamps, here.times, atol=1e-5)


@pytest.mark.runtime("sherpa-onnx")
def test_speech_shorter_than_a_frame_of_the_model_is_no_error(deployed, tmp_path):
    theirs = written(deployed, tmp_path / "sherpa-onnx")
    for size in (0, 300, 400, 1359):
        quiet, speech = results(theirs, [waves()[0][4000:][:size], waves()[0]])
        assert quiet.text == "" and speech.text == "ENTER FIFTY ONE"


@pytest.mark.runtime("sherpa-onnx")
def test_int8_files_are_taken_as_they_are(deployed, tmp_path):
    theirs = written(deployed, tmp_path / "sherpa-onnx", "int8")
    ours = Recognizer(deployed, decoding="ctc_greedy", precision="int8")
    pairs = [(results(theirs, [w])[0].text, ours(w).text) for w in waves()]
    assert sum(a == b for a, b in pairs) >= len(pairs) - 1
    size = (deployed / "model.int8.onnx").stat().st_size
    assert (tmp_path / "sherpa-onnx/model.onnx").stat().st_size < size


def test_the_file_says_what_the_slot_reads(deployed, tmp_path):
    package = read_package(deployed)
    Fbank().write(package, package.file("model", "fp32"), tmp_path)
    model = onnx.load(str(tmp_path / "model.onnx"))
    said = {prop.key: prop.value for prop in model.metadata_props}
    assert said["model_type"] == "fire-red-asr-2-ctc"
    assert said["subsampling_factor"] == "4"
    assert said["cmvn_mean"].split(",") == ["0"] * 80  # normalised in the graph
    assert [value.name for value in model.graph.input] == ["x", "x_lens"]
    outputs = [value.name.split("/")[-1] for value in model.graph.output]
    assert outputs == ["log_probs", "out_lengths"]  # taken by their places


@pytest.mark.parametrize(
    "facts, reason",
    [
        ({}, "frontend: default; one that was trained with frontend: kaldi_fbank"),
        ({"frontend": None}, "the model has frontend: null"),
        ({"frontend_conf": {"n_mels": 40}}, "n_mels: 80, and the model has 40"),
        ({"frontend_conf": {"hop_length": 200}}, "hop_length: 160"),
        ({"frontend_conf": {"fmax": 7600}}, "fmax: null, and the model has 7600"),
    ],
)
def test_what_it_cannot_take_is_told(deployed, facts, reason):
    known = {**FACTS, **facts} if facts else {}
    assert reason in Fbank().unfit(read_package(deployed), known)


def test_it_takes_speech_at_16_khz(deployed):
    package = read_package(deployed)
    config = dataclasses.replace(package.config, sample_rate=8000)
    slow = dataclasses.replace(package, config=config)
    assert "takes 16000 Hz, and the model 8000 Hz" in Fbank().unfit(slow, FACTS)
