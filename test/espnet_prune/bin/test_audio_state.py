# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a hash of data notices, and what it does not."""

import os

import pytest

from espnet_prune.bin import audio_state
from espnet_prune.utils import write_yaml


@pytest.fixture
def state(tmp_path, monkeypatch, capsys):
    """Return a function that gives the hash of a data directory, or of DATA."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    lines = "u1\ta b.wav\nu2 x.ark:10\nu3 x.ark:99\nu4 cat y |\nu5 gone.wav\n"
    (tmp_path / "set/wav.scp").write_text(lines)
    (tmp_path / "set/utt2num_samples").write_text("u1 4\n")
    for name in ("a b.wav", "x.ark"):
        (tmp_path / name).write_text("1234")
        os.utime(tmp_path / name, (1, 1))

    def run(*words):
        audio_state.main(list(words) or ["set"])
        return capsys.readouterr().out

    return run


def test_every_change_of_the_data_is_noticed(state, tmp_path):
    seen = [state()]
    assert state() == seen[0] and len(seen[0].strip()) == 64

    def changed():
        seen.append(state())
        return len(set(seen)) == len(seen)

    os.utime(tmp_path / "a b.wav", (2, 2))
    assert changed()
    (tmp_path / "x.ark").write_text("12345")
    os.utime(tmp_path / "x.ark", (1, 1))
    assert changed()
    (tmp_path / "gone.wav").write_text("")
    assert changed()
    (tmp_path / "set/utt2num_samples").write_text("u1 5\n")
    assert changed()
    (tmp_path / "set/segments").write_text("u1 r 0 1\n")
    assert changed()
    (tmp_path / "a b.wav").unlink()
    assert changed()


def test_times_do_not_count_where_espnet_formats_the_audio_again(state, tmp_path):
    before = state("--without_times", "set")
    os.utime(tmp_path / "x.ark", (2, 2))
    assert state("--without_times", "set") == before
    (tmp_path / "x.ark").write_text("123456")
    assert state("--without_times", "set") != before


def test_a_model_stands_for_its_training_data(state, tmp_path):
    entries = [["set/wav.scp", "speech", "sound"], ["set/text", "text", "text"]]
    write_yaml({"train_data_path_and_name_and_type": entries}, tmp_path / "c.yaml")
    before = state("c.yaml")
    os.utime(tmp_path / "x.ark", (2, 2))
    assert state("c.yaml") != before
    before = state("c.yaml")
    (tmp_path / "set/text").write_text("u1 A\n")
    assert state("c.yaml") != before
    assert state("--root", "/nowhere", "set") != state("set")
    assert state("not/there.yaml") == state("not/here.yaml")
