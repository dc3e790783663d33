# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A package that is not installed is told in one sentence, a bug of ours is not."""

import sys

import pytest

from espnet_prune.utils import run_main
from test.espnet_prune import deep

MODELS = {
    "warprnnt_pytorch": {
        "decoder": "transducer",
        "decoder_conf": {"num_layers": 1, "hidden_size": 4},
        "joint_net_conf": {"joint_space_size": 4},
        "model_conf": {},
    },
    "s3prl": {"frontend": "s3prl", "frontend_conf": {}},
    "whisper": {"encoder": "whisper", "encoder_conf": {}},
    "transformers": {
        "postencoder": "hugging_face_transformers",
        "postencoder_conf": {"model_name_or_path": "x"},
    },
}


@pytest.mark.parametrize("package", MODELS)
def test_what_a_model_needs(package, monkeypatch, capsys):
    pytest.importorskip("espnet2")
    from espnet_prune.models import build_model

    monkeypatch.setitem(sys.modules, package, None)
    if package == "transformers":
        from espnet2.asr.postencoder import hugging_face_transformers_postencoder as hf

        monkeypatch.setattr(hf, "is_transformers_available", False)
    with pytest.raises(SystemExit, match="2"):
        run_main(lambda: build_model({**deep.CONFIG, **MODELS[package]}))
    (line,) = [
        text
        for text in capsys.readouterr().err.splitlines()
        if text.startswith("espnet_prune: error: ")
    ]
    assert f"needs the package {package}, which is not installed: " in line
    assert "install" in line.split("not installed: ")[1]


def test_an_unknown_package(capsys):
    def main():
        import surely_not_there.part  # noqa: F401

    with pytest.raises(SystemExit, match="2"):
        run_main(main)
    assert "surely_not_there, which is not installed: pip install surely_not_there" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "line",
    [
        "from espnet_prune.utils import gone",
        "import espnet_prune.gone",
        "from json import gone",
        "raise ImportError('cannot import part of transformers')",
    ],
)
def test_other_errors_of_import_keep_their_traceback(line):
    with pytest.raises(ImportError):
        run_main(lambda: exec(line))
