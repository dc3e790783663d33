# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Any audio as data: directories, tables, folders, files; and what is refused."""

import os

import numpy as np
import pytest
import soundfile

from espnet_prune.data.calibration import find_audio
from espnet_prune.utils import UserError

CONFIG = {"frontend": "default", "frontend_conf": {"fs": 16000}}


def tone(path, seconds=1.0, rate=16000, channels=1):
    """Write 440 Hz, and return the path."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([wave] * channels, 1).squeeze(), rate)
    return path


def snapshot(folder):
    """Return all paths below a folder and when they were changed."""
    return {p: os.stat(p).st_mtime_ns for p in folder.rglob("*")}


def kaldi(folder, names=("b", "a"), **files):
    """Write a data directory whose paths are relative to the corpus."""
    for name in names:
        tone(folder.parent / "audio" / f"{name}.wav")
    folder.mkdir(parents=True)
    lines = [f"{name} audio/{name}.wav\n" for name in names]
    (folder / "wav.scp").write_text("".join(lines))
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_data_directory(tmp_path):
    data = kaldi(tmp_path / "corpus" / "dev", text="b B B\na A\n")
    before = snapshot(tmp_path / "corpus")
    found = find_audio(data, CONFIG, tmp_path / "out")
    assert found.labelled and found.text == {"b": "B B", "a": "A"}
    path = str(tmp_path / "corpus" / "audio" / "b.wav")
    assert found.speech["b"] == path and found.seconds["b"] == 1.0
    speech, text = found.write(tmp_path / "out" / "some", ["a"])
    assert speech[1:] == ("speech", "sound") and text[1:] == ("text", "text")
    assert (tmp_path / "out" / "some" / "text").read_text() == "a A\n"
    assert snapshot(tmp_path / "corpus") == before
    assert find_audio(data / "wav.scp", CONFIG, tmp_path / "out").text == {}


def test_segments_are_cut(tmp_path):
    data = kaldi(tmp_path / "dev", segments="x a 0.25 0.75\ny b 0.5 -1\n", text="x X\n")
    found = find_audio(data, CONFIG, tmp_path / "out")
    audio, rate = soundfile.read(found.speech["x"])
    assert list(found.speech) == ["x"] and (len(audio), rate) == (8000, 16000)
    assert found.seconds == {"x": 0.5}


@pytest.mark.parametrize("rate, channels", [(8000, 1), (44100, 2)])
def test_folder_of_other_audio_is_brought_to_the_rate(tmp_path, rate, channels):
    for name in ("c.wav", "sub/a.flac", "sub/.b.wav"):
        tone(tmp_path / "in" / name, 1.0, rate, channels)
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    before = snapshot(tmp_path / "in")
    found = find_audio(tmp_path / "in", CONFIG, tmp_path / "out")
    assert list(found.speech) == ["c", "a"] and not found.labelled
    audio, own = soundfile.read(found.speech["a"])
    assert own == 16000 and audio.shape == (16000,)
    spectrum = np.abs(np.fft.rfft(audio))
    assert spectrum.argmax() == 440 and 0.25 < np.abs(audio[4000:-4000]).max() < 0.35
    assert snapshot(tmp_path / "in") == before


def test_files_of_one_name_keep_apart(tmp_path):
    for name in ("x/1.wav", "y z/1.wav", "y z/1.flac"):
        tone(tmp_path / "in" / name)
    found = find_audio(tmp_path / "in", CONFIG, tmp_path / "out")
    assert list(found.speech) == ["x/1.wav", "y_z/1.flac", "y_z/1.wav"]


def test_one_long_file_is_taken_in_parts(tmp_path):
    path = tone(tmp_path / "talk.wav", 50.0)
    found = find_audio(path, CONFIG, tmp_path / "out")
    assert list(found.speech) == ["talk-0000", "talk-0001", "talk-0002"]
    assert sum(len(soundfile.read(p)[0]) for p in found.speech.values()) == 800000
    (tmp_path / "text").write_text("talk A\n")  # of the whole of it
    found = find_audio(path, CONFIG, tmp_path / "out", tmp_path / "text")
    assert found.speech == {"talk": str(path)}


def test_some_are_evenly_spaced_and_short_ones_left_out(tmp_path):
    for i in range(9):
        tone(tmp_path / "in" / f"{i}.wav", 1.0 if i != 6 else 0.1)
    found = find_audio(tmp_path / "in", CONFIG, tmp_path / "out", most=3)
    assert list(found.speech) == ["0", "3"]


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda d: d / "nothing", "no such file or directory"),
        (lambda d: (d / "empty").mkdir() or d / "empty", "has neither wav.scp nor a"),
        (lambda d: tone(d / "s.wav", 0.1), "none of 1 utterances has 0.3 s"),
        (lambda d: d / "text.wav", "cannot be read"),
        (lambda d: d / "cut.wav", "ends early"),
        (lambda d: d / "pipe.scp", "no command is run"),
        (lambda d: d / "gone.scp", "1 of 1 audio files do not exist"),
        (lambda d: d / "text.txt", "1 of 1 audio files do not exist"),
        (lambda d: d / "none.scp", "the file is empty"),
    ],
)
def test_what_is_no_audio_is_told(tmp_path, make, said):
    (tmp_path / "text.wav").write_text("RIFF, but not really")
    cut = tone(tmp_path / "cut.wav").read_bytes()[:9000]
    (tmp_path / "cut.wav").write_bytes(cut)
    (tmp_path / "pipe.scp").write_text("a sox x.wav -t wav - |\n")
    (tmp_path / "gone.scp").write_text("a x.wav\n")
    (tmp_path / "text.txt").write_text("some words\n")
    (tmp_path / "none.scp").write_text("")
    with pytest.raises(UserError, match=said):
        find_audio(make(tmp_path), CONFIG, tmp_path / "out")


def test_texts_of_others_are_told(tmp_path):
    path = tone(tmp_path / "a.wav")
    (tmp_path / "text").write_text("other A\n")
    with pytest.raises(UserError, match="names no utterance .* 'other'.* 'a'"):
        find_audio(path, CONFIG, tmp_path / "out", tmp_path / "text")


def test_arks_are_taken_as_they_are(tmp_path):
    kaldiio = pytest.importorskip("kaldiio")
    wave = (1000 * np.sin(np.arange(16000))).astype(np.int16)
    paths = str(tmp_path / "x.ark"), str(tmp_path / "x.scp")
    for rate in (16000, 8000):
        kaldiio.save_ark(
            paths[0], {"a": (rate, wave)}, paths[1], write_function="soundfile"
        )
        if rate == 16000:
            found = find_audio(paths[1], CONFIG, tmp_path / "out")
            assert found.kind == "kaldi_ark" and list(found.speech) == ["a"]
        else:
            with pytest.raises(UserError, match="has 8000 Hz"):
                find_audio(paths[1], CONFIG, tmp_path / "out")


def test_a_model_of_features_takes_features(tmp_path):
    config = {"frontend": None, "input_size": 80}
    with pytest.raises(UserError, match="takes features"):
        find_audio(tone(tmp_path / "a.wav"), config, tmp_path / "out")
    with pytest.raises(UserError, match="wav"):
        find_audio(tone(tmp_path / "a.wav").parent / "b", config, tmp_path / "out")
