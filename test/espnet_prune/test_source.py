# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models are found in directories, in archives, and by tags."""

import sys
import types
import zipfile

import pytest

from espnet_prune.source import find_model
from espnet_prune.utils import UserError, write_yaml


def experiment(folder, *names, criterion="acc"):
    """Write an experiment directory; its checkpoints hold their names."""
    config = {"best_model_criterion": [["valid", criterion, "max"]], "token_list": []}
    write_yaml(config, folder / "config.yaml")
    for name in names:
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize(
    "names, taken",
    [
        (["valid.acc.ave.pth", "valid.acc.best.pth", "5epoch.pth"], 0),
        (["1epoch.pth", "valid.cer_ctc.ave_5best.pth", "valid.cer_ctc.best.pth"], 1),
        (["valid.cer_ctc.ave.pth", "valid.loss.ave.pth", "model.pth"], 2),
        (["only.pth"], 0),
    ],
)
def test_directory(tmp_path, names, taken):
    folder = experiment(tmp_path / "exp", *names, criterion="cer_ctc")
    found = find_model(str(folder), tmp_path / "out")
    assert found == (folder / "config.yaml", folder / names[taken])
    found = find_model(str(folder / names[0]), tmp_path / "out")
    assert found == (folder / "config.yaml", folder / names[0])


def archive(folder, prefix="asr", **more):
    """Write an archive as ESPnet packs it."""
    inside = experiment(folder / "exp" / "asr_x", "model.pth")
    meta = {
        "files": {f"{prefix}_model_file": "exp/asr_x/model.pth"},
        "yaml_files": {f"{prefix}_train_config": "exp/asr_x/config.yaml"},
        **more,
    }
    write_yaml(meta, folder / "meta.yaml")
    with zipfile.ZipFile(folder / "a.zip", "w") as stream:
        for path in (folder / "meta.yaml", *inside.glob("*")):
            stream.write(path, path.relative_to(folder))
    return folder / "a.zip"


@pytest.mark.parametrize("prefix", ["asr", "slu"])
def test_archive_and_what_it_is_unpacked_to(tmp_path, prefix):
    path = archive(tmp_path / "zoo", prefix)
    found = find_model(str(path), tmp_path / "out" / "model")
    assert found.model_file.match("out/model/*/exp/asr_x/model.pth")
    assert found.model_file.read_text() == "model.pth"
    assert find_model(str(path), tmp_path / "out" / "model") == found
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model"]
    beside = find_model(str(tmp_path / "zoo"), tmp_path / "out")
    assert beside.config == tmp_path / "zoo/exp/asr_x/config.yaml"


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """A stand-in for espnet_model_zoo that knows one tag."""
    folder = experiment(tmp_path / "hub", "model.pth")

    class ModelDownloader:
        def download_and_unpack(self, tag):
            print("downloading")
            if tag != "who/asr_x":
                raise RuntimeError("not\nthere")
            files = folder / "config.yaml", folder / "model.pth"
            return dict(zip(("asr_train_config", "asr_model_file"), map(str, files)))

    module = types.ModuleType("espnet_model_zoo.downloader")
    module.ModelDownloader = ModelDownloader
    monkeypatch.setitem(
        sys.modules, "espnet_model_zoo", types.ModuleType("espnet_model_zoo")
    )
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return folder


def test_tag(zoo, tmp_path, capsys):
    assert find_model("who/asr_x", tmp_path).config == zoo / "config.yaml"
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match="RuntimeError: not there"):
        find_model("who/asr_y", tmp_path)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda d: "who/asr_x", "pip install espnet_model_zoo"),
        (lambda d: d / "nothing", "no such file or directory"),
        (lambda d: d / "model.zip", "no such file or directory"),
        (lambda d: d, "has no config.yaml"),
        (lambda d: experiment(d / "x"), "has no .pth file"),
        (lambda d: experiment(d / "x", "a.pth", "b.pth"), "it has a.pth, b.pth"),
        (lambda d: d / "notes.txt", "not an archive"),
        (lambda d: d / "other.zip", "which has meta.yaml"),
        (lambda d: archive(d / "z", files={}, yaml_files={}), "but nothing"),
        (lambda d: archive(d / "z", files={"asr_model_file": "gone"}), "is missing"),
        (lambda d: d / "lone" / "x.pth", "no config.yaml beside it"),
    ],
)
def test_what_is_no_model_is_told(tmp_path, monkeypatch, make, said):
    for name in ("espnet_model_zoo", "espnet_model_zoo.downloader", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "notes.txt").write_text("no archive")
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "x.pth").write_text("")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as stream:
        stream.writestr("a", "b")
    with pytest.raises(UserError, match=said):
        find_model(str(make(tmp_path)), tmp_path / "out")
