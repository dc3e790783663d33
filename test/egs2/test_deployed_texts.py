# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What ONNX files hear is what ESPnet hears, of the model and the speech in an4."""

import pytest
import torch

from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.proof.again import source_of
from espnet_prune.deploy.proof.texts import compare_texts, require_alike
from espnet_prune.utils import UserError
from test.egs2.test_sample import FILES, SAMPLE, loaded  # noqa: F401

SEARCH = {"beam_size": 2, "ctc_weight": 0.3}


def texts(model, config, out, audio):
    package = export_model(model, config, out, SEARCH)
    write_tokens(config, out)
    return compare_texts(out, source_of(*FILES), config, package, str(audio))


def test_the_same_texts(loaded, tmp_path):  # noqa: F811
    found = texts(*loaded, tmp_path / "out", SAMPLE / "test")
    assert found["utterances"] == 12 and not found["others"]
    assert found["alike"] == {"ctc_greedy": 12, "attention": 12}
    require_alike(found)


def test_another_mel_scale_is_heard(loaded, tmp_path):  # noqa: F811
    librosa = pytest.importorskip("librosa")
    model, config = loaded
    (tmp_path / "some").mkdir()
    for path in sorted((SAMPLE / "audio").glob("*.flac"))[:4]:
        (tmp_path / "some" / path.name).symlink_to(path)
    kept = model.frontend.logmel.melmat
    n_fft = config["frontend_conf"]["n_fft"]
    mel = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=kept.shape[1], htk=True)
    model.frontend.logmel.melmat = torch.from_numpy(mel.T.copy())
    try:
        found = texts(model, config, tmp_path / "out", tmp_path / "some")
    finally:
        model.frontend.logmel.melmat = kept
    assert found["utterances"] == 4 and max(found["alike"].values()) < 4
    first = found["others"][0]["utterance"]
    with pytest.raises(UserError, match=f"are heard differently, e.g. {first} by"):
        require_alike(found)
