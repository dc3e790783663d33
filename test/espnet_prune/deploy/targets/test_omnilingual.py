# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""sherpa-onnx hears raw speech as our runtime does, at the same times."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

from espnet_prune.deploy.onnx.export import export_encoder
from espnet_prune.deploy.targets.sherpa.omnilingual import Omnilingual
from espnet_prune.deploy.targets.sherpa.slot import results
from espnet_prune.runtime import Recognizer
from espnet_prune.runtime.package import read_package
from test.espnet_prune.encoder_zoo import build, randomise
from test.espnet_prune.runtime.tone_model import tones, write_model

RAW = {"encoder": "pruned_wav2vec2", "encoder_conf": {"normalize_waveform": True}}


@pytest.fixture
def package(tmp_path):
    """Return a deployed model that reads tones by their energy, every 40 ms."""
    return read_package(write_model(tmp_path / "tones"))


@pytest.mark.runtime("sherpa-onnx")
@pytest.mark.parametrize("level", [1.0, 0.1, 0.01, 0.004, 0.0])
def test_texts_and_times(package, tmp_path, level):
    """Of loud and of soft speech, which the model does not hear below 0.005."""
    slot, ours = Omnilingual(), Recognizer(package.folder)
    assert slot.unfit(package, RAW) is None
    slot.write(package, package.file("model"), tmp_path)
    recognizer = slot.recognizer(tmp_path)
    for text in ("AB CDE", "HHH A"):
        wave = tones(text) * np.float32(level)
        found, wanted = results(recognizer, [wave])[0], ours(wave)
        assert found.text == wanted.text == (text if level > 0.005 else "")
        assert found.timestamps == pytest.approx(wanted.times, abs=1e-4)
    assert slot.open(tmp_path)(tones("ABBA")) == "ABBA"


@pytest.mark.parametrize("variant", ["base", "large"])
@pytest.mark.parametrize("level", [0.5, 0.02, 0.001])
def test_levels_come_back(package, tmp_path, variant, level):
    """What sherpa-onnx does to samples, and an offset, change no log-probability."""
    torch.manual_seed(0)
    encoder = randomise(build(variant)).eval()
    ctc = torch.nn.Module()
    ctc.ctc_lo = torch.nn.Linear(encoder.output_size(), len(package.tokens))
    export_encoder(encoder, tmp_path / "plain.onnx", ctc)
    Omnilingual().write(package, tmp_path / "plain.onnx", tmp_path)

    wave = level * np.random.RandomState(0).randn(16000).astype(np.float32)
    wave += np.float32(0.1 * level)
    given = {"speech": wave[None], "lengths": np.array([len(wave)])}
    plain = onnxruntime.InferenceSession(tmp_path / "plain.onnx")
    wanted = plain.run(["log_probs"], given)[0]
    mean = wave.mean()
    variance = np.square(wave).mean() - mean * mean
    normal = (wave - mean) / np.sqrt(variance + np.float32(1e-5))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {"samples": normal[None]})
    assert found.shape[1] == 2 * wanted.shape[1]
    for offset in (0, 1):
        assert np.abs(found[:, offset::2] - wanted).max() < 1e-4


def test_what_is_refused(package):
    """By what the model hears that is taken away, with what would do."""
    slot = Omnilingual()
    mel = slot.unfit(package, {"encoder": "conformer", "frontend": "default"})
    assert "level and offset" in mel and "moonshine_v2 takes them as they are" in mel
    conf = {"extractor_mode": "layer_norm", "normalize_waveform": False}
    offset = slot.unfit(package, {**RAW, "encoder_conf": conf})
    assert "the offset of the samples" in offset and "moonshine_v2" in offset
    base = {**RAW, "encoder_conf": {"model": "hubert_base"}}
    assert slot.unfit(package, base) is None
    frames = dataclasses.replace(package.config, frame_ms=30.0)
    reason = slot.unfit(dataclasses.replace(package, config=frames), RAW)
    assert "steps of 20 ms" in reason
    skipped = dataclasses.replace(package, tokens=["<blank>", "SIL"])
    assert "leaves the token SIL out" in slot.unfit(skipped, RAW)
