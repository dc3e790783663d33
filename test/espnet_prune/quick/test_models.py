# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Other kinds of models and of audio go through quick, too."""

import pytest
import soundfile

from espnet_prune.deploy.pack import pack
from test.espnet_prune.deep import HYBRID, write_model
from test.espnet_prune.quick.tiny import make_tiny, run_quick
from test.espnet_prune.tones import make_data

WIDE = {**HYBRID["encoder_conf"], "linear_units": 32}
ATTENTION = {"encoder_conf": WIDE, "model_conf": {"ctc_weight": 0.0}}
TRANSDUCER = {
    **ATTENTION,
    "decoder": "transducer",
    "decoder_conf": {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8},
    "joint_net_conf": {"joint_space_size": 8},
}


@pytest.mark.parametrize("more", [ATTENTION, TRANSDUCER], ids=["attention", "rnnt"])
def test_models_without_ctc_are_heard_and_timed(tmp_path, capsys, more):
    write_model(tmp_path / "exp", {**HYBRID, **more})
    make_data(tmp_path / "data", 6, 2)
    audio = str(tmp_path / "data" / "train_wav.scp")
    options = ["--model", str(tmp_path / "exp"), "--audio", audio, "--beam_size", "1"]
    line, said = run_quick(tmp_path / "out", options, "70%params", capsys)
    assert line["reached"] == pytest.approx(0.3, abs=0.02)
    assert "of speech, beam 1" in said and "CTC greedy" not in said


def test_an_archive_and_a_folder_at_another_rate(tmp_path, capsys):
    make_tiny(tmp_path / "exp")
    pack(tmp_path / "exp", "model.pth", tmp_path / "model.zip")
    for path in (tmp_path / "exp" / "data").glob("valid*.wav"):
        audio, rate = soundfile.read(path)
        soundfile.write(tmp_path / "exp" / "data" / path.name, audio, rate // 2)
        (tmp_path / "audio").mkdir(exist_ok=True)
        path.rename(tmp_path / "audio" / path.name)
    before = sorted(tmp_path.rglob("*"))
    options = ["--model", str(tmp_path / "model.zip"), "--beam_size", "1"]
    options += ["--audio", str(tmp_path / "audio")]
    line, _ = run_quick(tmp_path / "out", options, "70%params", capsys)
    assert line["verify"] < 1e-6 and line["score"]["utterances"] == 2
    out = tmp_path / "out"
    assert (
        sorted(p for p in tmp_path.rglob("*") if out not in (p, *p.parents)) == before
    )
    copies = list((out / "data" / "audio").glob("*.flac"))
    assert len(copies) == 6 and soundfile.info(copies[0]).samplerate == 16000
