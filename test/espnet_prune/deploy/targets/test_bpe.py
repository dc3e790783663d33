# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A trained model with pieces of words, through the command, in sherpa-onnx."""

from pathlib import Path

import pytest
import soundfile

from espnet_prune.bin.deploy import main as deploy
from espnet_prune.data.tables import read_table
from espnet_prune.utils import read_json

ROOT = Path(__file__).parents[4]
MODEL = ROOT / "test/models/an4_bpe"
SAMPLE = ROOT / "egs2/an4/asr_prune1/sample"


@pytest.mark.runtime("onnxruntime")
@pytest.mark.runtime("sherpa-onnx")
def test_texts_of_a_trained_model(tmp_path):
    words = ["--model", MODEL / "model", "--output_dir", tmp_path / "out"]
    words += ["--calibration", SAMPLE / "test", "--int8", "false"]
    deploy(list(map(str, [*words, "--for", "sherpa-onnx"])))
    row = read_json(tmp_path / "out/deploy.json")["targets"]["sherpa-onnx"]
    assert row["slot"] == "moonshine_v2" and row["precision"] == "fp32"
    assert (row["texts"]["alike"], row["texts"]["of"]) == (12, 12)

    import sherpa_onnx  # brings an onnxruntime of its own

    folder = tmp_path / "out/sherpa-onnx"
    recognizer = sherpa_onnx.OfflineRecognizer.from_moonshine_v2(
        **{name: f"{folder}/{name}.onnx" for name in ("encoder", "decoder")},
        tokens=f"{folder}/tokens.txt",
    )
    heard = {}
    for name in read_table(SAMPLE / "test/wav.scp"):
        samples, rate = soundfile.read(SAMPLE / f"audio/{name}.flac", dtype="float32")
        stream = recognizer.create_stream()
        stream.accept_waveform(rate, samples)
        recognizer.decode_stream(stream)
        heard[name] = stream.result.text
    assert heard == read_table(MODEL / "text.greedy")
