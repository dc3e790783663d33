# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Speech as it comes: the text of a stream is that of the whole utterance."""

import io
import json
import wave
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.proof.signals import voice
from espnet_prune.runtime import Recognizer, Stream, UserError, command
from espnet_prune.runtime.check import outputs
from espnet_prune.runtime.live import from_stdin
from test.espnet_prune.deep import make_model
from test.espnet_prune.deploy.onnx.context_models import config
from test.espnet_prune.runtime.tone_model import write_model

pytestmark = pytest.mark.runtime("onnxruntime")

RATE = 16000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the directory of a deployed model, which says much that means nothing."""
    folder = tmp_path_factory.mktemp("stream")
    conf = config(folder)
    model, row = make_model(conf), torch.from_numpy(voice(5 * RATE, RATE, 3))[None]
    with torch.no_grad():  # of each token as much as of the others
        said = model.ctc.ctc_lo(model.encode(row, torch.tensor([5 * RATE]))[0])[0]
        model.ctc.ctc_lo.weight.div_(said.std(0)[:, None])
        model.ctc.ctc_lo.bias.sub_(said.mean(0)).div_(said.std(0))
    export_model(model, conf, folder / "out")
    write_tokens(conf, folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def speech():
    return voice(5 * RATE + 77, RATE, 3)


@pytest.mark.parametrize("chunk", [333, 16000])
def test_the_text_is_that_of_the_whole(model, speech, chunk):
    stream, wanted = Stream(model), Recognizer(model)(speech)
    assert len(wanted.tokens) > 10
    for _ in range(2):  # the second utterance is heard like the first
        for begin in range(0, len(speech), chunk):
            sofar = stream.accept(speech[begin : begin + chunk])
            assert wanted.text.startswith(sofar.text)
        got = stream.finish()
        assert (got.text, got.tokens) == (wanted.text, wanted.tokens)
        assert got.times == wanted.times and got.seconds == wanted.seconds
        assert got.score == pytest.approx(wanted.score, abs=1e-3)
        assert 0 < len(sofar.tokens) < len(got.tokens)


def test_single_samples_and_integers(model, speech):
    stream, short = Stream(model), speech[: 2 * RATE]
    wanted = Recognizer(model)(short)
    for sample in short:
        stream.accept(np.array([sample]))
    assert stream.blocks == 1
    assert stream.finish().text == wanted.text
    whole = np.round(short * 32767).astype(np.int16)
    stream.accept(whole)
    assert stream.finish().text == Recognizer(model)(whole).text


def test_a_token_over_a_border_is_one(model):
    stream = Stream(model)
    rows = np.log(np.eye(4)[[0, 1, 1, 1, 2, 0, 2]] + 1e-3)
    stream._said([rows[:2], rows[2:3], rows[3:5], rows[5:]])
    assert stream.ids == [1, 2, 2] and stream.frames == [1, 4, 6]


def test_what_cannot_be_heard(model, speech, tmp_path):
    stream = Stream(model)
    for samples, sentence in (
        (np.zeros((8, 2), "f"), r"the samples have shape \(8, 2\)"),
        (np.array([0.0, np.nan]), "the stream: sample 0|sample 1 .* is nan"),
    ):
        with pytest.raises(UserError, match=sentence):
            stream.accept(samples)
    stream.reset()
    stream.accept(np.zeros(900, "f"))
    with pytest.raises(UserError, match="x.wav: 900 samples .* are too few"):
        stream.finish("x.wav")
    with pytest.raises(UserError, match="the model hears whole utterances"):
        Stream(write_model(tmp_path / "tones"))


def run(capsys, monkeypatch, model, *words, data=None):
    """Run the command with bytes on standard input; returns what it prints."""
    if data is not None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    command.main([str(model), "--stream", *map(str, words)])
    return capsys.readouterr().out


def pcm(speech):
    return np.round(speech * 32767).astype("<i2").tobytes()


def wav(speech, rate, channels=1, width=2):
    """Return a WAV file whose header does not know how long it is."""
    file = io.BytesIO()
    with wave.open(file, "wb") as stream:
        stream.setnchannels(channels)
        stream.setsampwidth(width)
        stream.setframerate(rate)
        stream.writeframes(pcm(np.repeat(speech, channels)))
    data = bytearray(file.getvalue())
    data[40:44] = b"\xff\xff\xff\x7f"
    return bytes(data)


def test_files_and_standard_input(model, speech, tmp_path, capsys, monkeypatch):
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"{name}.wav", speech[: 40000 + len(name)], RATE)
    speech = speech[:40003]
    command.main([str(model), str(tmp_path)])
    wanted = capsys.readouterr().out
    assert run(capsys, monkeypatch, model, tmp_path) == wanted
    text = wanted.splitlines()[0].partition(" ")[2]
    for data in (pcm(speech), pcm(speech) + b"\1", wav(speech, RATE, channels=2)):
        assert run(capsys, monkeypatch, model, "-", data=data) == f"- {text}\n"
    slow = wav(speech[::2], RATE // 2)  # is resampled, so that another text is right
    assert run(capsys, monkeypatch, model, "-", data=slow).startswith("- ")


def test_partial_results(model, speech, capsys, monkeypatch):
    found = run(capsys, monkeypatch, model, "-", "--json", data=pcm(speech))
    rows = [json.loads(line) for line in found.splitlines()]
    assert [row["final"] for row in rows] == [False] * 6 + [True]
    assert rows[-1]["text"].startswith(rows[2]["text"]) and rows[2]["text"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    shown = run(capsys, monkeypatch, model, "-", data=pcm(speech)).split("\r\x1b[K")
    assert all(len(line) < 20 for line in shown[1:-1])
    assert shown[-1] == f"- {rows[-1]['text']}\n"


def test_errors_of_the_command(model, tmp_path, capsys, monkeypatch):
    for data, sentence in (
        (b"", "standard input: is empty"),
        (b"RIFF....JUNK", "standard input: is no WAV file of integers"),
        (wav(np.zeros(9), 8000, width=1), "samples have 8 bits; send 16-bit PCM"),
    ):
        with pytest.raises(UserError, match=sentence):
            run(capsys, monkeypatch, model, "-", data=data)
    with pytest.raises(UserError, match="--jobs: a stream is recognised alone"):
        run(capsys, monkeypatch, model, "-", "--jobs", 2)
    with pytest.raises(UserError, match="a stream is decoded by ctc_greedy"):
        run(capsys, monkeypatch, model, "-", "--decoding", "ctc_beam")
    with pytest.raises(UserError, match="-: no such file .*; add --stream"):
        command.main([str(model), "-"])
    soundfile.write(tmp_path / "long.wav", np.zeros(20000), RATE)
    soundfile.write(tmp_path / "short.wav", np.zeros(20), RATE)
    with pytest.raises(UserError, match="1 of 2 files could not be recognised"):
        run(capsys, monkeypatch, model, tmp_path)
    told = capsys.readouterr()
    assert told.out.startswith("long") and "short.wav: 20 samples" in told.err


def test_a_check_knows_the_step(model, speech):
    conf = json.loads((model / "config.json").read_text())
    found = outputs(model, conf, {"input": speech[:RATE]})
    np.testing.assert_allclose(found["step fp32"], found["model fp32"], atol=1e-4)


def test_a_header_is_read_once():
    rate, blocks = from_stdin(io.BytesIO(wav(np.linspace(0, 0.5, 900), 8000)), RATE)
    got = np.concatenate(list(blocks))
    assert rate == 8000 and got.shape == (900, 1)
    np.testing.assert_allclose(got[:, 0], np.linspace(0, 0.5, 900), atol=1e-4)
