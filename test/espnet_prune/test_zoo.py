# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is packed and has a tag is read: of ESPnet's model zoo, espnet3 and the hub."""

import json
import shutil
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch

from espnet_prune.bin import check_model, cost
from espnet_prune.model_files import find_checkpoint
from espnet_prune.source import find_directory, find_model
from espnet_prune.utils import UserError, read_yaml, write_yaml

EXP = Path(__file__).resolve().parent / "releases/espnet3/exp/training"
AVERAGE, OTHER = "valid.acc.ave_2best.pth", "epoch2_step9_valid.acc.ckpt"
INFERENCE = {
    "asr_train_config": "${recipe_dir}/exp/training/config.yaml",
    "asr_model_file": "${recipe_dir}/exp/training/" + OTHER,
}


@pytest.fixture
def bundle(tmp_path):
    """What espnet3's pack_model writes of an experiment."""
    folder = tmp_path / "bundle"
    shutil.copytree(EXP.parents[1], folder)
    for name, content in (
        ("training", {"recipe_dir": ".", "exp_dir": "${recipe_dir}/exp/training"}),
        ("inference", {"recipe_dir": ".", "model": INFERENCE}),
        ("publication", {"recipe_dir": "."}),
    ):
        write_yaml(content, folder / f"conf/{name}.yaml")
    names = ("training", "publication", "inference")
    files = {f"{name}_config": f"conf/{name}.yaml" for name in names}
    meta = {"schema_version": 1, "system": "esp2_asr", "files": {}}
    write_yaml({**meta, "yaml_files": files}, folder / "meta.yaml")
    return folder


def zipped(folder, inner=""):
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as stream:
        for path in folder.rglob("*"):
            stream.write(path, Path(inner) / path.relative_to(folder))
    return target


@pytest.mark.parametrize("form", ["folder", "zip", "zip of a folder"])
def test_bundle_of_espnet3(bundle, tmp_path, form):
    inner = "bundle" if form.endswith("folder") else ""
    path = bundle if form == "folder" else zipped(bundle, inner)
    found = find_model(str(path), tmp_path / "out")
    assert found.model_file.name == OTHER and found.config.is_file()
    assert find_model(str(path), tmp_path / "out") == found


def test_bundle_without_decoding_has_the_checkpoint_that_is_always_taken(bundle):
    (bundle / "conf/inference.yaml").unlink()
    meta = read_yaml(bundle / "meta.yaml")
    del meta["yaml_files"]["inference_config"]
    write_yaml(meta, bundle / "meta.yaml")
    assert find_model(str(bundle), bundle).model_file.name == AVERAGE
    write_yaml({"exp_dir": "elsewhere"}, bundle / "conf/training.yaml")
    with pytest.raises(UserError, match="a bundle of espnet3 without an experiment"):
        find_model(str(bundle), bundle)


def test_statistics_that_espnet3_does_not_pack_are_those_of_the_weights(
    bundle, tmp_path
):
    from espnet_prune.models import load_model

    exp = bundle / "exp/training"
    config = read_yaml(exp / "config.yaml")
    conf = {"stats_file": "./exp/stats/train/feats_stats.npz"}
    config.update(normalize="global_mvn", normalize_conf=conf)
    write_yaml(config, exp / "config.yaml")
    state = torch.load(exp / AVERAGE, weights_only=True)
    mean, std = torch.randn(16) * 10, torch.rand(16) + 0.5
    state.update({"normalize.mean": mean, "normalize.std": std})
    torch.save(state, exp / OTHER)
    before = sorted(bundle.rglob("*"))
    source = find_model(str(bundle), tmp_path / "out")
    model, found = load_model(*source)
    assert torch.equal(model.normalize.mean.float(), mean)
    assert sorted(bundle.rglob("*")) == before
    assert find_directory(str(bundle), tmp_path / "out") == source.config.parent
    assert find_checkpoint(source.config.parent).resolve() == source.model_file
    # as ESPnet computes them from the file, which goes on with what is cut
    from espnet2.layers.global_mvn import GlobalMVN

    own = GlobalMVN(found["normalize_conf"]["stats_file"])
    stats = own.mean.float(), own.std.float()
    assert torch.allclose(stats[0], mean) and torch.allclose(stats[1], std)


def test_commands_take_what_quick_takes(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check_model.main(["--model_config", str(bundle / "exp/training"), "--json"])
    check_model.main(["--model_config", str(zipped(bundle)), "--json"])
    check_model.main(["--model_config", str(EXP / "config.yaml"), "--json"])
    words = ["--model_config", str(EXP), "--model_file", str(EXP / OTHER)]
    check_model.main([*words, "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert len(set(lines)) == 1 and json.loads(lines[0])["ok"]
    cost.main(["--model_config", str(bundle), "--json"])
    assert "recognition" not in capsys.readouterr().err
    assert (tmp_path / "cache/espnet_prune").is_dir()


def stand_in(monkeypatch, name, **attributes):
    module = types.ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


def test_tag_of_a_bundle_on_the_hub(bundle, tmp_path, monkeypatch):
    asked = []

    class ModelDownloader:
        cachedir = tmp_path / "cache"

        def download_and_unpack(self, tag):
            return {"training_config": str(bundle / "conf/training.yaml")}

    def snapshot_download(tag, cache_dir):
        asked.append((tag, cache_dir))
        return str(bundle)

    stand_in(monkeypatch, "espnet_model_zoo")
    stand_in(
        monkeypatch, "espnet_model_zoo.downloader", ModelDownloader=ModelDownloader
    )
    stand_in(monkeypatch, "huggingface_hub", snapshot_download=snapshot_download)
    found = find_model("espnet/some_model", tmp_path)
    assert found.model_file == bundle / "exp/training" / OTHER
    assert asked == [("espnet/some_model", tmp_path / "cache")]


def test_tag_without_network_is_told(tmp_path, monkeypatch):
    def snapshot_download(tag, cache_dir):
        raise ConnectionError("no route\nto host")

    for name in ("espnet_model_zoo", "espnet_model_zoo.downloader"):
        monkeypatch.setitem(sys.modules, name, None)
    stand_in(monkeypatch, "huggingface_hub", snapshot_download=snapshot_download)
    said = "--model espnet/x: neither here .*ConnectionError: no route to host.*network"
    with pytest.raises(UserError, match=said):
        find_model("espnet/x", tmp_path)


def test_snapshot_of_the_hub_is_read_by_its_own_packages(bundle, tmp_path, monkeypatch):
    """The cache of the hub as it is on disk, without network: links into blobs."""
    pytest.importorskip("espnet_model_zoo", reason="pip install espnet_model_zoo")
    meta = {"files": {"asr_model_file": f"exp/training/{AVERAGE}"}}
    meta["yaml_files"] = {"asr_train_config": "exp/training/config.yaml"}
    write_yaml(meta, bundle / "meta.yaml")
    cache = tmp_path / "home/.cache/espnet_model_zoo/models--espnet--some_model"
    snapshot = cache / "snapshots" / ("0" * 40)
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text("0" * 40)
    (cache / "blobs").mkdir()
    for number, path in enumerate(p for p in bundle.rglob("*") if p.is_file()):
        shutil.copyfile(path, cache / "blobs" / str(number))
        link = snapshot / path.relative_to(bundle)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(cache / "blobs" / str(number))
    from huggingface_hub import constants

    from espnet_prune.models import load_model

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = find_model("espnet/some_model", tmp_path)
    assert found.model_file.name == AVERAGE
    load_model(*found)
    with pytest.raises(UserError, match="--model espnet/other: neither here nor"):
        find_model("espnet/other", tmp_path)


@pytest.mark.parametrize(
    "meta, said",
    [
        ({"files": ["a"]}, "files of meta.yaml does not name files"),
        ({"files": {"tts_model_file": "x", "tts_train_config": "y"}}, "but tts_model"),
    ],
)
def test_archives_without_a_model_are_told(tmp_path, meta, said):
    write_yaml(meta, tmp_path / "zoo/meta.yaml")
    with pytest.raises(UserError, match=said):
        find_model(str(zipped(tmp_path / "zoo")), tmp_path / "out")
