# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command that transcribes: what it takes, what it prints, how it fails."""

import json
import re

import numpy as np
import pytest
import soundfile

from espnet_prune.runtime import UserError, command
from espnet_prune.runtime.check import outputs
from espnet_prune.runtime.eta import Eta
from espnet_prune.runtime.files import sha256
from espnet_prune.runtime.inputs import named_files
from test.espnet_prune.runtime.tone_model import RATE, config, tones, write_model

TEXTS = {"one": "ABBA", "two": "CAFE BAD", "three": "DEAD HEAD"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the directory of a deployed model."""
    return write_model(tmp_path_factory.mktemp("transcribe") / "tones")


@pytest.fixture
def audio(tmp_path):
    """Return a folder of audio files, and of others."""
    folder = tmp_path / "audio"
    (folder / "inner").mkdir(parents=True)
    for name, place in zip(TEXTS, ("one.wav", "inner/two.flac", "three.WAV")):
        soundfile.write(folder / place, tones(TEXTS[name]), RATE)
    (folder / "notes.txt").write_text("nothing to hear")
    return folder


def transcribed(capsys, *words):
    """Run the command; return {name: text} of its lines."""
    command.main([str(word) for word in words])
    lines = capsys.readouterr().out.splitlines()
    return {name: text for name, _, text in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder(model, audio, capsys, jobs):
    assert transcribed(capsys, model, audio, "--jobs", jobs) == TEXTS


def test_files_and_lists(model, audio, capsys, tmp_path):
    assert transcribed(capsys, model, audio / "one.wav") == {"one": "ABBA"}
    scp, paths = tmp_path / "wav.scp", tmp_path / "files.txt"
    scp.write_text("u1 audio/one.wav\n\nu2 audio/inner/two.flac\n")
    paths.write_text(f"audio/one.wav\n{audio}/three.WAV\n")
    assert transcribed(capsys, model, scp) == {"u1": "ABBA", "u2": "CAFE BAD"}
    assert transcribed(capsys, model, paths, scp) == {
        "one": "ABBA",
        "three": "DEAD HEAD",
        "u1": "ABBA",
        "u2": "CAFE BAD",
    }
    assert set(named_files([str(tmp_path)])) == {"u1", "u2"}  # a data directory


def test_the_same_name_twice(audio):
    (audio / "inner" / "one.wav").write_bytes(b"")
    assert set(named_files([str(audio)])) == {
        "two",
        "three",
        str(audio / "one.wav"),
        str(audio / "inner" / "one.wav"),
    }


def test_json_has_tokens_and_times(model, audio, tmp_path):
    out = tmp_path / "out.jsonl"
    command.main([str(model), str(audio), "--json", "--output", str(out)])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["name"]: row["text"] for row in rows} == TEXTS
    assert rows[1]["tokens"] == list("ABBA") or rows[0]["tokens"] == list("ABBA")
    for row in rows:
        assert len(row["times"]) == len(row["tokens"])
        assert set(row) == {
            *("name", "path", "text", "tokens", "times", "score", "seconds", "rtf")
        }


def test_options_reach_the_recognizer(model, audio, capsys):
    name = audio / "two.wav"
    soundfile.write(name, tones("CAFE " * 40), RATE)
    pieces = ("--piece", "2", "--overlap", "0.5", "--decoding", "ctc_beam")
    found = transcribed(capsys, model, name, *pieces, "--beam_size", "2")
    assert found["two"].split() == ["CAFE"] * 40
    with pytest.raises(UserError, match="there is no int8 model"):
        command.main([str(model), str(name), "--precision", "int8"])
    with pytest.raises(UserError, match="beam_size is 0, must be at least 1"):
        command.main([str(model), str(name), "--beam_size", "0"])
    with pytest.raises(UserError, match="has no depth 3"):
        command.main([str(model), str(name), "--depth", "3"])


def test_one_bad_file_of_several_is_told_and_the_others_go_on(model, audio, capsys):
    soundfile.write(audio / "bad.wav", np.full(9000, np.nan), RATE, subtype="FLOAT")
    soundfile.write(audio / "short.wav", np.zeros(1), RATE)
    for jobs in ("1", "2"):
        with pytest.raises(UserError, match="2 of 5 files could not be recognised"):
            command.main([str(model), str(audio), "--jobs", jobs])
        said = capsys.readouterr()
        assert sorted(said.out.split("\n")) == sorted(
            ["", *(f"{name} {text}" for name, text in TEXTS.items())]
        )
        assert "bad.wav: sample 0 (0.000 s) is nan" in said.err
        assert "short.wav: 1 samples" in said.err
    with pytest.raises(UserError, match="of 5"):
        command.main([str(model), str(audio), "--json"])
    rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert sorted(row["name"] for row in rows if "error" in row) == ["bad", "short"]


def test_a_bad_file_alone_is_the_error(model, audio):
    (audio / "empty.wav").write_bytes(b"")
    with pytest.raises(UserError, match="empty.wav: libsndfile cannot read it"):
        command.main([str(model), str(audio / "empty.wav")])
    soundfile.write(audio / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(UserError, match="empty.wav: is empty"):
        command.main([str(model), str(audio / "empty.wav")])


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("a.scp", "u1 cat x.wav |\n", "a.scp: line 1 is a command, not a file"),
        ("a.scp", "\n", "a.scp: is empty; give a path"),
        ("folder/notes.txt", "", "folder: there is no audio in it"),
        ("folder/segments", "", "folder/segments cuts recordings into utterances"),
        ("else", "", "nowhere.wav: no such file or folder"),
    ],
)
def test_inputs_that_are_none(tmp_path, name, content, told):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    if name.endswith("segments"):
        (path.parent / "wav.scp").write_text("r1 a.wav\n")
    given = {"a.scp": path, "else": tmp_path / "nowhere.wav"}.get(name, path.parent)
    with pytest.raises(UserError, match=told):
        named_files([str(given)])


def test_missing_files_of_a_list_are_told_one_by_one(model, audio, capsys):
    path = audio / "wav.scp"
    path.write_text("u1 one.wav\nu2 gone.wav\n")
    with pytest.raises(UserError, match="1 of 2 files could not"):
        command.main([str(model), str(path)])
    said = capsys.readouterr()
    assert said.out == "u1 ABBA\n" and "u2: gone.wav: no such file" in said.err


def test_progress_is_told_in_lines(capsys):
    eta = Eta(100.0, every=0.0)
    eta.tell(0.0)
    eta.tell(25.0)
    eta.close()
    said = capsys.readouterr().err
    assert said.startswith("25 of 100 s of audio, about ") and said.count("\n") == 1


def test_a_summary_is_told(model, audio, capsys):
    command.main([str(model), str(audio)])
    told = r"3 files, 2.6 s of audio in \d+.\d s; real-time factor of a file 0.\d+\n"
    assert re.fullmatch(told, capsys.readouterr().err)


def test_check_says_whether_files_are_whole(tmp_path, capsys):
    folder = write_model(tmp_path / "tones")
    record = {"input": tones("CAFE"), "tokens": np.zeros((1, 0), np.int64)}
    record.update(outputs(folder, config(), record))
    np.savez(folder / "check.npz", **record)
    hashes = {name: sha256(folder / name) for name in ("model.onnx", "tokens.txt")}
    proof = {"passed": True, "sha256": hashes, "bar": 1e-4, "versions": {}}
    (folder / "deploy.json").write_text(json.dumps(proof))
    command.main([str(folder), "--check"])
    assert f"{folder}: all files are whole\n" in capsys.readouterr().err
    (folder / "tokens.txt").write_text("<blank> 0\n")
    with pytest.raises(UserError, match="tokens.txt: is not the file that deploy.json"):
        command.main([str(folder), "--check"])
    with pytest.raises(UserError, match="nothing to transcribe; give audio files"):
        command.main([str(folder)])


def test_errors_end_with_one_sentence_and_exit_code_2(model, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["transcribe.py", "nowhere.wav"])
    with pytest.raises(SystemExit, match="2"):
        command.run(model)
    assert capsys.readouterr().err == "error: nowhere.wav: no such file or folder\n"
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    monkeypatch.setattr("sys.argv", ["transcribe.py", str(model.parent)])
    (model.parent / "a.wav").write_bytes(b"")
    with pytest.raises(SystemExit, match="2"):
        command.run(model)
    told = f"onnxruntime is not installed; call pip install -r {model}/requirements"
    assert told in capsys.readouterr().err
