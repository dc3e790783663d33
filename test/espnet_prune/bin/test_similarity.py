# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json

import numpy as np
import pytest

from espnet_prune.bin import similarity
from espnet_prune.data.speech import Utterances
from espnet_prune.measure.similarity.matrix_file import load_matrix
from espnet_prune.utils import UserError, sha256
from test.espnet_prune.deep import HYBRID, write_model

CONFIG = {
    **HYBRID,
    "token_type": "bpe",
    "bpemodel": "not/needed/for/audio.model",
    "speech_volume_normalize": 0.5,
    "encoder_conf": {**HYBRID["encoder_conf"], "num_blocks": 3},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A model with random weights and twelve recordings."""
    soundfile = pytest.importorskip("soundfile")
    root, random = tmp_path_factory.mktemp("similarity"), np.random.RandomState(0)
    lines = []
    for i in range(12):
        wave = 0.1 * random.randn(8000 + 800 * i)
        soundfile.write(root / f"{i}.wav", wave, 16000)
        lines.append(f"utt{i} {root}/{i}.wav\n")
    (root / "wav.scp").write_text("".join(lines))
    data = [[f"{root}/wav.scp", "speech", "sound"], [f"{root}/text", "text", "text"]]
    config = dict(CONFIG, train_data_path_and_name_and_type=data)
    write_model(root, config)
    return root


def run(root, output_dir, *more):
    options = ["--model_config", f"{root}/config.yaml", "--output_dir", str(output_dir)]
    similarity.main([*options, "--model_file", f"{root}/model.pth", *more])


def test_table(root, tmp_path, capsys):
    run(root, tmp_path, "--num_utts", "10", "--mode", "utterance")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "svcca of 10 samples (utterance mode, 10 utterances)"
    matrix, provenance = load_matrix(tmp_path / "similarity_svcca.npz", num_layers=3)
    for i, line in enumerate(lines[3:6], 1):
        assert line.split() == [str(i), f"{matrix[i - 1, i]:.4f}"]
    assert provenance["model_sha256"] == sha256(root / "model.pth")
    assert set(provenance["versions"]) == {"espnet_prune", "torch"}
    assert (tmp_path / "images" / "similarity_svcca.png").stat().st_size > 1000


def test_json_and_frames(root, tmp_path, capsys):
    more = ["--mode", "frame", "--measure", "dc", "--max_samples", "90", "--json"]
    more += ["--data", f"{root}/wav.scp,speech,sound", "--batch_size", "4"]
    run(root, tmp_path, *more)
    report = json.loads(capsys.readouterr().out)
    assert (report["samples"], report["utterances"]) == (90, 12)
    assert report["data"] == [f"{root}/wav.scp,speech,sound"]
    matrix, _ = load_matrix(tmp_path / "similarity_dc.npz")
    assert report["input_output"] == matrix.diagonal(1).tolist()
    best = report["most_alike"][0]
    assert report["input_output"][best - 1] == max(report["input_output"])


def test_bad_input_is_told(root, tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="SVCCA of 8 samples .* .mode frame"):
        run(root, tmp_path, "--num_utts", "8", "--mode", "utterance")
    with pytest.raises(UserError, match="none.scp .--data. is not there; .* recipe"):
        run(root, tmp_path, "--data", "none.scp,speech,sound")
    with pytest.raises(UserError, match="--data has no data named speech"):
        run(root, tmp_path, "--data", f"{root}/wav.scp,audio,sound")
    with pytest.raises(UserError, match="--num_utts must be at least 1"):
        run(root, tmp_path, "--num_utts", "0")
    (tmp_path / "lost.scp").write_text(f"one {tmp_path}/lost.wav\n")
    with pytest.raises(UserError, match="lost.scp: the audio of one cannot be read"):
        more = ["--data", f"{tmp_path}/lost.scp,speech,sound"]
        run(root, tmp_path, *more, "--mode", "frame")
    assert not list(tmp_path.glob("*.npz"))
    monkeypatch.setattr("sys.argv", ["similarity", "--model_config", "none"])
    with pytest.raises(SystemExit) as stop:
        similarity.run_main(similarity.main)
    assert stop.value.code == 2


def test_utterances_are_drawn_and_processed(root):
    entries = [(f"{root}/wav.scp", "speech", "sound")]
    batches = list(Utterances(entries, CONFIG, 5, 2, seed=1))
    assert len(batches) == 5  # none of them is as long as another
    names = [name for ids, _ in batches for name in ids]
    again = Utterances(entries, CONFIG, 5, 2, seed=1)
    assert names == [key for _, key in again.keys] and len(set(names)) == 5
    assert len(again) == 5
    # the volume is what the model was trained with
    assert float(batches[0][1]["speech"][0].abs().max()) == pytest.approx(0.5)
    assert set(batches[0][1]) == {"speech", "speech_lengths"}
