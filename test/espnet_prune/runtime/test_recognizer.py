# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model recognises what is said, in one piece or in several."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from espnet_prune.runtime import Recognizer, UserError
from espnet_prune.runtime.session import open_session
from test.espnet_prune.runtime.tone_model import RATE, TOKENS, tones, write_model

LONG = "ABBA CAFE DEAD HEAD ACE BAD GAG EGG FACE BED CAB DAD FAD HAG GAB BEEF" * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the directory of a deployed model."""
    return write_model(tmp_path_factory.mktemp("runtime") / "tones")


def test_text_tokens_times_and_score(model):
    found = Recognizer(model)(tones("ABBA CAFE"))
    assert found.text == "ABBA CAFE"
    assert found.tokens == [*"ABBA", "<space>", *"CAFE"]
    # a frame of silence, then a letter each three frames of 40 ms
    assert found.times == [round(0.04 + 0.12 * i, 3) for i in range(9)]
    assert found.seconds == pytest.approx(9 * 0.12 + 0.04) and found.rtf > 0
    silence = Recognizer(model)(np.zeros(RATE, np.float32))
    assert (silence.text, silence.tokens, silence.times) == ("", [], [])
    wave = tones("ABBA CAFE")[None]
    given = {"speech": wave, "lengths": np.array([wave.size])}
    log_probs = open_session(model / "model.onnx").run(["log_probs"], given)[0]
    assert found.score == pytest.approx(log_probs.max(axis=-1).sum(), rel=1e-5)


def test_other_rates_and_types(model):
    recognizer = Recognizer(model)
    for rate in (8000, 22050, 48000):
        assert recognizer(tones("CAFE BAD", rate), rate).text == "CAFE BAD"
    wave = tones("CAFE BAD")
    assert recognizer((wave * 32767).astype(np.int16)).text == "CAFE BAD"
    assert recognizer(np.stack([wave, wave], axis=1)).text == "CAFE BAD"
    assert recognizer(wave.tolist(), 16000).text == "CAFE BAD"


@pytest.mark.parametrize("decoding", ["ctc_greedy", "ctc_beam"])
def test_pieces_say_what_the_whole_says(model, tmp_path, decoding):
    path, told = tmp_path / "a.flac", []
    soundfile.write(path, tones(LONG), RATE)
    whole = Recognizer(model, decoding=decoding, piece=60).file(path)
    recognizer = Recognizer(model, decoding=decoding, piece=3.1, overlap=0.57)
    found = recognizer.file(path, told.append)
    assert whole.text == found.text == LONG
    assert found.times == whole.times
    assert found.seconds == whole.seconds == told[-1] and len(told) > 10


def test_what_is_asked_for_and_is_not_there(model):
    for options, told in [
        ({"decoding": "attention"}, "cannot be decoded by attention; decoding may be"),
        ({"beam_sise": 3}, r"unknown key 'beam_sise' \(did you mean 'beam_size'"),
        ({"beam_size": "3"}, "beam_size is '3', must be a whole number"),
        ({"beam_size": 0}, "beam_size is 0, must be at least 1"),
        ({"ctc_weight": 1.5}, "ctc_weight is 1.5, must be from 0 to 1"),
        ({"precision": "int8"}, "there is no int8 model; precision may be fp32"),
        ({"size": 50}, "has no size 50"),
        ({"piece": 5, "overlap": 3}, "overlap is 3 s, must be less than half"),
    ]:
        with pytest.raises(UserError, match=told):
            Recognizer(model, **options)


@pytest.mark.parametrize(
    "wave, told",
    [
        (np.zeros(0), "the waveform: is empty"),
        (np.zeros(1), r"the waveform: 1 samples \(0.000 s\) are too few for this"),
        (np.zeros(639), r"639 samples \(0.040 s\) are too few .* needs 640 \(0.040 s"),
        (np.array([0.0] * 700 + [np.nan]), r"sample 700 \(0.044 s\) is nan"),
    ],
)
def test_audio_that_cannot_be_recognised(model, wave, told):
    with pytest.raises(UserError, match=told):
        Recognizer(model)(wave)


def test_the_shortest_audio_is_recognised(model):
    assert Recognizer(model)(np.zeros(640)).text == ""


def test_features_instead_of_audio(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    folder = write_model(
        tmp_path, input="feats", feature_size=len(TOKENS), min_samples=2
    )
    real, shape = TensorProto.FLOAT, ["N", "T", len(TOKENS)]
    value = helper.make_tensor_value_info
    whole = TensorProto.INT64
    graph = helper.make_graph(
        [
            helper.make_node("LogSoftmax", ["feats"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["out_lengths"]),
        ],
        "copy",
        [value("feats", real, shape), value("lengths", whole, ["N"])],
        [value("log_probs", real, shape), value("out_lengths", whole, ["N"])],
    )
    sets = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=sets, ir_version=8)
    onnx.save(made, str(folder / "model.onnx"))
    recognizer = Recognizer(folder)
    feats = np.eye(len(TOKENS))[[2, 2, 0, 3, 1, 4]]
    found = recognizer(feats)
    assert found.text == "AB C" and found.seconds == pytest.approx(6 * 0.04)
    for wrong, told in [
        (feats[:1], "1 frames of features are too few for this model, which needs 2"),
        (feats[:, :5], r"have shape \(6, 5\), must be \(frames, 11\)"),
        (feats * np.nan, "the features have values that are not finite"),
    ]:
        with pytest.raises(UserError, match=told):
            recognizer(wrong)
    with pytest.raises(UserError, match="takes features instead of audio"):
        recognizer.file("a.wav")


ALONE = """
import json, sys, time
for name in ("torch", "espnet", "espnet2"):
    sys.modules[name] = None  # whoever imports it fails
begin = time.process_time()
from espnet_prune.runtime import Recognizer
seconds = time.process_time() - begin
text = Recognizer(sys.argv[1]).file(sys.argv[2]).text
print(json.dumps({"text": text, "seconds": seconds}))
"""


def test_without_torch_and_quickly(model, tmp_path):
    soundfile.write(tmp_path / "a.wav", tones("CAFE"), RATE)
    command = [sys.executable, "-c", ALONE, str(model), str(tmp_path / "a.wav")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["text"] == "CAFE" and found["seconds"] < 1.0


PEAK = """
import re, sys
from espnet_prune.runtime import Recognizer
Recognizer(sys.argv[1], piece=10, overlap=2).file(sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells")
def test_memory_does_not_grow_with_the_audio(model, tmp_path):
    minute, peaks = np.tile(tones("CAFE BAD "), 60)[: 60 * RATE], []
    for count in (1, 20):
        path = tmp_path / f"{count}.wav"
        with soundfile.SoundFile(path, "w", RATE, 1) as stream:
            for _ in range(count):
                stream.write(minute)
        command = [sys.executable, "-c", PEAK, str(model), str(path)]
        peaks.append(int(subprocess.check_output(command)) / 1024)
    assert peaks[1] < peaks[0] + 15  # its samples are 73 MB
