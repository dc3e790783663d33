# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Audio becomes one channel of the model's rate; what cannot is one sentence."""

import sys

import numpy as np
import pytest
import soundfile

from espnet_prune.runtime import UserError, audio
from espnet_prune.runtime.audio import as_samples, prepared, read_blocks

WAVE = (0.3 * np.sin(np.arange(16000) * 0.1)).astype(np.float32)


def whole(path, rate=16000, **more):
    """Return the samples of a file."""
    return np.concatenate(list(read_blocks(path, rate, **more)))


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "aiff"])
def test_what_libsndfile_reads_is_read(tmp_path, form):
    path = tmp_path / f"a.{form}"
    soundfile.write(path, WAVE, 16000)
    found = whole(path)
    assert found.dtype == np.float32 and len(found) == len(WAVE)
    assert np.abs(found - WAVE).max() < (0.1 if form == "ogg" else 1e-4)


def test_channels_are_mixed_and_told_once(tmp_path, caplog):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([WAVE, 0 * WAVE], axis=1), 16000, subtype="FLOAT")
    for _ in range(2):
        assert np.allclose(whole(path), WAVE / 2)
    assert caplog.text.count("a.wav: its 2 channels are mixed to one") == 1


@pytest.mark.parametrize("own", [8000, 44100, 48000])
@pytest.mark.parametrize("size", [1000, 1 << 19])
def test_other_rates_are_resampled(tmp_path, own, size):
    path, seconds = tmp_path / "a.wav", 2
    sine = np.sin(2 * np.pi * 440 * np.arange(seconds * own) / own)
    soundfile.write(path, 0.3 * sine, own, subtype="FLOAT")
    found = whole(path, size=size)
    assert abs(len(found) - seconds * 16000) <= 1
    right = 0.3 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / 16000)
    assert np.abs(found - right)[1000:-1000].max() < 1e-3


def test_resampling_needs_soxr(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(UserError, match="has 8000 Hz, the model wants 16000 .*soxr"):
        list(prepared([WAVE], 8000, 16000, "a.wav"))
    assert len(list(prepared([WAVE], 16000, 16000, "a.wav"))) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_named(tmp_path, bad):
    path = tmp_path / "a.wav"
    wave = np.stack([WAVE, WAVE], axis=1)
    wave[[8000, 9000], [1, 0]] = bad
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    with pytest.raises(UserError) as error:
        whole(path, size=3000)
    told = f"a.wav: sample 8000 (0.500 s) of channel 2 is {bad}; write the file again"
    assert told in str(error.value)


def test_files_that_are_no_audio(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(UserError, match="a.wav: no such file"):
        whole(path)
    path.write_text("hello")
    with pytest.raises(UserError, match=r"a.wav: libsndfile cannot read it \(.*\); c"):
        whole(path)
    soundfile.write(path, WAVE, 16000)
    path.write_bytes(path.read_bytes()[:10000])
    with pytest.raises(UserError, match="a.wav: ends early; copy the file again"):
        whole(path)
    with pytest.raises(UserError, match="no such file"):
        whole(tmp_path)


def test_arrays_are_samples_from_minus_1_to_1():
    integers = (WAVE * 32768).astype(np.int16)
    assert np.abs(as_samples(integers) - WAVE).max() < 1e-4
    assert as_samples(WAVE.astype(np.float64)).dtype == np.float32
    assert as_samples(list(WAVE)).shape == WAVE.shape
    for wrong, told in [
        (np.zeros((2, 100)), r"has shape \(2, 100\), must be \(samples,\)"),
        (np.zeros((1, 2, 3)), "has shape"),
        (np.zeros(10, np.uint8), "is of type uint8, must be of floats or signed"),
        (np.zeros(10, complex), "is of type complex128"),
        ("a.wav", "has shape"),
    ]:
        with pytest.raises(UserError, match=told):
            as_samples(wrong)


def test_endings_of_audio():
    assert {".wav", ".flac", ".ogg", ".mp3"} <= audio.audio_suffixes()
    assert not {".txt", ".scp", ".raw", ".json"} & audio.audio_suffixes()
