# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From a directory of transformers to a cut model, ONNX and text."""

import json

import numpy as np
import soundfile

from espnet_prune.bin import deploy, quick
from espnet_prune.models import load_model
from espnet_prune.runtime import Recognizer
from espnet_prune.utils import read_json
from test.espnet_prune.hugging_face.test_outputs import HERE, best_text, heard


def test_from_a_directory_to_text(tmp_path, capsys):
    (tmp_path / "audio").mkdir()
    random = np.random.RandomState(0)
    for i in range(4):
        wave = 0.1 * random.randn(4000 + 999 * i).astype("f4")
        soundfile.write(tmp_path / "audio" / f"{i}.wav", wave, 16000, "FLOAT")
    audio, out = ["--audio", str(tmp_path / "audio")], tmp_path / "small"
    more = ["--target", "60%macs", "--output_dir", str(out), "--beam_size", "1"]
    quick.main(["--model", str(HERE / "wav2vec2"), *audio, *more])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0.4 <= said["reached"] < 0.45 and said["verify"] < 1e-6
    form = read_json(out / "quick.json")["about"]["Hugging Face"]
    assert (out / "hugging_face").is_dir() != ("stays one of ESPnet" in form)
    device = tmp_path / "device"
    deploy.main(["--model", str(out), "--output_dir", str(device)])
    assert read_json(device / "deploy.json")["fp32"]["model"]["relative"] < 1e-4
    model, config = load_model(out / "config.yaml", out / "model.pth")
    listen = Recognizer(device, decoding="ctc_greedy")
    for path in sorted((tmp_path / "audio").iterdir()):
        wave = soundfile.read(path, dtype="float32")[0]
        expected = best_text(heard(model.eval(), [wave])[0][0], config["token_list"])
        assert expected and listen.file(str(path)).text == expected
