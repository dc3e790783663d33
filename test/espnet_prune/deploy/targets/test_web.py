# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The page as a target: what fits, what is missing, and texts of a trained model."""

import shutil
import sys

import pytest
import soundfile

from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.targets.compare import compare
from espnet_prune.deploy.targets.target import Part
from espnet_prune.deploy.targets.web import WEB
from espnet_prune.deploy.targets.web.slot import Page
from espnet_prune.models import load_model
from espnet_prune.runtime.package import read_package
from espnet_prune.source import find_model
from espnet_prune.utils import UserError
from test.espnet_prune.deploy.targets.test_bpe import MODEL as BPE
from test.espnet_prune.deploy.test_standalone import SAMPLE
from test.espnet_prune.runtime.tone_model import TOKENS, write_model


def written(source, out):
    """Write what deploy does of a model, and its page; returns both directories."""
    files = find_model(str(source), out)
    model, config = load_model(files.config, files.model_file)
    export_model(model, config, out)
    write_tokens(config, out)
    package, page = read_package(out), out.parent / "page"
    page.mkdir()
    Page().write(package, package.file("model", "fp32"), page)
    return out, page


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The repository's own trained model and its page."""
    return written(SAMPLE / "model", tmp_path_factory.mktemp("trained") / "out")


def texts(out, page, most):
    """Compare what the page hears in some of the sample's utterances."""
    audio = sorted((SAMPLE / "audio").iterdir())[:most]
    speech = {path.stem: soundfile.read(path, dtype="float32")[0] for path in audio}
    return compare(Page(), page, out, Part("", "fp32"), speech)


@pytest.mark.runtime("onnxruntime-web")
def test_a_trained_model(trained):
    found = texts(*trained, 12)
    assert found["alike"] == found["of"] == 12


@pytest.mark.runtime("onnxruntime-web")
def test_a_trained_model_with_pieces_of_words(tmp_path):
    found = texts(*written(BPE / "model", tmp_path / "out"), 12)
    assert found["alike"] == found["of"] == 12


@pytest.mark.runtime("onnxruntime-web")
@pytest.mark.parametrize(
    "file, right, wrong",
    [
        ("ctc.js", " && best !== blank", ""),
        ("audio.js", " return samples;", " return samples.map((x) => 32768 * x);"),
        ("worker.js", "./ctc.js", "./missing.js"),
    ],
)
def test_a_page_that_hears_otherwise_is_refused(trained, tmp_path, file, right, wrong):
    out, page = trained
    shutil.copytree(page, tmp_path / "page")
    script = tmp_path / "page" / file
    assert right in script.read_text()
    script.write_text(script.read_text().replace(right, wrong, 1))
    with pytest.raises(NotProven, match="page: 3 of 3 texts in fp32 are others"):
        texts(out, tmp_path / "page", 3)


@pytest.mark.parametrize(
    "changes, tokens, told",
    [
        ({"ctc": False}, TOKENS, "decodes by CTC, which the model does not have; tra"),
        ({"input": "feats"}, TOKENS, "takes samples, and the model takes features t"),
        ({"sample_rate": 4000}, TOKENS, "browsers decode to 8000-96000 Hz, and the "),
        ({"token_type": "bpe"}, ["<0xC3>"], "takes no letters in bytes, such as <0xC"),
        ({"sample_rate": 8000}, ["<0xC3>"], None),
    ],
)
def test_what_it_cannot_take(tmp_path, changes, tokens, told):
    write_model(tmp_path, **changes)
    lines = [f"{token} {i}\n" for i, token in enumerate(tokens)]
    (tmp_path / "tokens.txt").write_text("".join(lines))
    found = Page().unfit(read_package(tmp_path), {})
    assert found is None if told is None else found.startswith(told)


@pytest.mark.runtime("onnxruntime-web")
def test_what_is_not_installed_is_told(tmp_path, monkeypatch):
    assert WEB.version() in WEB.tried
    monkeypatch.setenv("ONNXRUNTIME_WEB", str(tmp_path))
    with pytest.raises(UserError, match="package.json is missing, which runs models i"):
        WEB.version()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="Chromium, which is not installed; call apt-g"):
        WEB.version()
    monkeypatch.setitem(sys.modules, "selenium", None)
    with pytest.raises(UserError, match="selenium, which is not installed; call pip i"):
        WEB.version()
