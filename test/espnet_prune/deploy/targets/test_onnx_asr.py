# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""onnx-asr hears what our runtime hears, at the same times, alone and in batches."""

import dataclasses
import importlib.metadata

import numpy as np
import onnxruntime
import pytest

from espnet_prune.data.tables import read_table
from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.targets.onnx_asr import samples
from espnet_prune.deploy.targets.onnx_asr.mel import Mel
from espnet_prune.deploy.targets.onnx_asr.samples import Samples
from espnet_prune.models import load_model
from espnet_prune.runtime import Recognizer
from espnet_prune.runtime.package import read_package
from test.espnet_prune.deploy.targets.mel_sample import (
    BANDS,
    SAMPLE,
    waves,
    write_mel_sample,
)
from test.espnet_prune.runtime.tone_model import TOKENS, tones, write_model

FACTS = {"frontend": "default", "frontend_conf": BANDS}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Return the model of 64 mel bands, deployed."""
    folder = tmp_path_factory.mktemp("mel")
    exp = write_mel_sample(folder / "exp")
    model, config = load_model(exp / "config.yaml", exp / "valid.acc.ave.pth")
    model.decoder = None
    export_model(model, config, folder / "out")
    write_tokens(config, folder / "out")
    return folder / "out"


@pytest.mark.runtime("onnx-asr")
def test_mel_bands(out, tmp_path):
    """Texts and times, also of what is silent, of what is loud, and of a batch."""
    import onnx_asr

    package, slot = read_package(out), Mel()
    assert slot.unfit(package, FACTS) is None
    slot.write(package, package.file("model"), tmp_path)
    ours, hear = Recognizer(out), slot.open(tmp_path)
    speech = waves()
    texts = [ours(wave).text for wave in speech]
    assert [hear(wave) for wave in speech] == [slot.spaced(text) for text in texts]
    said = list(read_table(SAMPLE / "test/text").values())
    assert sum(text == right for text, right in zip(texts, said)) >= 4

    model = onnx_asr.load_model(slot.name, tmp_path).with_timestamps()
    for wave in (*speech[:3], speech[0] * 0, np.clip(speech[1] * 100, -1, 1)):
        wave = np.pad(wave, (4000, 0))  # silence, which has the least power there is
        found, wanted = model.recognize(wave), ours(wave)
        assert found.text == slot.spaced(wanted.text)
        assert found.timestamps == pytest.approx(wanted.times)
    batch = [row.text for row in model.recognize(speech)]
    assert batch == [slot.spaced(text) for text in texts]


def test_other_bands_are_refused(tmp_path):
    """By the keys of the front end; also what onnx-asr cannot count or spell."""
    package, slot = read_package(write_model(tmp_path / "tones")), Mel()
    assert slot.unfit(package, FACTS) is None
    for change in ({"n_mels": 80}, {"htk": False}, {"win_length": 320}, {"fmin": 20}):
        reason = slot.unfit(package, {**FACTS, "frontend_conf": {**BANDS, **change}})
        assert "n_fft: 400, hop_length: 160, n_mels: 64, htk: true" in reason
    assert "n_fft: 400" in slot.unfit(package, {"frontend": "kaldi_fbank"})
    for key, value, words in (
        ("frame_ms", 12.5, "steps of 10 ms"),
        ("sample_rate", 8000, "16000 Hz would do"),
        ("ctc", False, "ctc_weight above 0"),
    ):
        config = dataclasses.replace(package.config, **{key: value})
        other = dataclasses.replace(package, config=config)
        assert words in slot.unfit(other, FACTS)
    spelled = dataclasses.replace(package, tokens=["<blank>", "A B"])
    assert "token with a space inside" in slot.unfit(spelled, FACTS)


def test_samples_need_a_release_that_knows_them(tmp_path, monkeypatch):
    """The main branch's type, by its contract: names, and blank behind each end."""
    package, slot = read_package(write_model(tmp_path / "tones")), Samples()
    monkeypatch.setattr(samples, "known", lambda: False)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.12.0")
    assert "not in its release 0.12.0, which is installed" in slot.unfit(package, {})
    monkeypatch.setattr(samples, "known", lambda: True)
    monkeypatch.setattr(samples, "step_of", lambda: 0.01)
    assert slot.unfit(package, {}) is None
    slot.write(package, package.file("model"), tmp_path)
    assert '"subsampling_factor": 4' in (tmp_path / "config.json").read_text()
    lines = (tmp_path / "vocab.txt").read_text().splitlines()
    assert lines[:3] == ["<blk> 0", "\N{LOWER ONE EIGHTH BLOCK} 1", "A 2"]

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    long, short = tones("AB CD"), tones("DH")
    batch = np.stack([long, np.pad(short, (0, len(long) - len(short)), mode="wrap")])
    given = {"input_values": batch, "input_lengths": np.array([len(long), len(short)])}
    (found,) = session.run(["logprobs"], given)
    paths = found.argmax(2)
    texts = ["".join(TOKENS[i] for i in path if i) for path in paths]
    assert texts == ["AABB<space><space>CCDD", "DDHH"]
    assert (paths[1, len(short) // 640 :] == 0).all()


@pytest.mark.parametrize(
    "text, seen",
    [
        ("A  B", "A B"),
        ("A B ", "A B"),
        (" A", "A"),
        ("A 'TIS", "A'TIS"),
        ("A B", "A B"),
    ],
)
def test_spaces(text, seen):
    """Onnx-asr leaves out spaces that stand before no letter or digit."""
    assert Mel().spaced(text) == seen
