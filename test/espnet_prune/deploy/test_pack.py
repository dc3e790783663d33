# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A packed model is complete, and loads where it was not made."""

import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from espnet_prune.tensor_names import as_written
from espnet_prune.utils import UserError, read_yaml, write_json, write_yaml
from test.espnet_prune import deep


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """An experiment with statistics that its config names relative to the recipe."""
    pytest.importorskip("espnet2")
    recipe = tmp_path_factory.mktemp("recipe")
    stats = recipe / "exp" / "stats" / "feats_stats.npz"
    stats.parent.mkdir(parents=True)
    np.savez(stats, count=9, sum=np.ones(20), sum_square=np.full(20, 9.0))
    given = {"stats_file": str(stats)}
    config = {**deep.CONFIG, "normalize": "global_mvn", "normalize_conf": given}
    config["encoder"] = "pruned_transformer"
    model = deep.make_model(config)
    folder = recipe / "exp" / "asr_tiny"
    folder.mkdir()
    config["normalize_conf"] = {"stats_file": "exp/stats/feats_stats.npz"}
    write_yaml(config, folder / "config.yaml")
    torch.save(model.state_dict(), folder / "model.pth")
    (folder / "RESULTS.md").write_text("# RESULTS\n")
    write_json({"kept_blocks": [0]}, folder / "structure.json")
    return recipe, folder, model


def packed(exp, monkeypatch, output, **more):
    from espnet_prune.deploy.pack import pack

    recipe, folder, _ = exp
    monkeypatch.chdir(recipe)
    pack(folder, "model.pth", output, **more)
    return output


def test_what_is_unpacked_elsewhere_hears_the_same(exp, monkeypatch, tmp_path):
    archive = packed(exp, monkeypatch, tmp_path / "out" / "tiny.zip")
    assert [p.name for p in archive.parent.iterdir()] == ["tiny.zip"]
    names = zipfile.ZipFile(archive).namelist()
    assert {"meta.yaml", "README.md", "exp/asr_tiny/RESULTS.md"} <= set(names)
    assert "exp/asr_tiny/structure.json" in names
    monkeypatch.chdir(tmp_path)
    from espnet2.main_funcs.pack_funcs import unpack

    files = unpack(archive, tmp_path / "model")
    config = read_yaml(files["asr_train_config"])
    assert config["normalize_conf"]["stats_file"].startswith(str(tmp_path / "model"))
    import espnet_prune

    espnet_prune.register()
    from espnet2.bin.asr_inference import Speech2Text

    speech2text = Speech2Text(**files, ctc_weight=1.0, beam_size=1)
    own, theirs = exp[2].state_dict(), speech2text.asr_model.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key].float(), theirs[key]) for key in own)
    assert isinstance(speech2text(np.random.randn(16000))[0][0], str)


def test_card(exp, monkeypatch, tmp_path):
    archive = packed(exp, monkeypatch, tmp_path / "tiny.zip", repo="me/tiny")
    card = zipfile.ZipFile(archive).read("README.md").decode()
    assert card.startswith("---\ntags:\n- espnet\n")
    assert 'from_pretrained("me/tiny", ctc_weight=1.0)' in card
    assert "espnet_prune.register()" in card
    from espnet_prune.report.card import model_card

    stock = {"encoder": "conformer", "frontend_conf": {"fs": "8k"}}
    assert "import espnet_prune" not in model_card("x", stock, None)
    assert "8000 Hz" in model_card("x", stock, None)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"output": "tiny.tar"}, "must end in .zip"),
        ({"model": "other.pth"}, "has no other.pth; it has model.pth: name one"),
    ],
)
def test_bad_input_writes_nothing(exp, monkeypatch, tmp_path, change, message):
    from espnet_prune.deploy.pack import pack

    recipe, folder, _ = exp
    monkeypatch.chdir(recipe)
    output = tmp_path / "out" / change.get("output", "tiny.zip")
    with pytest.raises(UserError, match=message):
        pack(folder, change.get("model", "model.pth"), output)
    assert not output.exists() and not list(tmp_path.glob("out/.pack*"))


def test_the_models_own_files_are_found_from_anywhere(exp, monkeypatch, tmp_path):
    from espnet_prune.deploy.pack import pack

    recipe, folder, _ = exp
    monkeypatch.chdir(tmp_path)
    pack(folder, "model.pth", tmp_path / "tiny.zip")
    assert "exp/asr_tiny/feats_stats.npz" in zipfile.ZipFile("tiny.zip").namelist()
    stats, away = recipe / "exp/stats", recipe / "exp/away"
    stats.rename(away)
    try:
        with pytest.raises(UserError, match="feats_stats.npz is not there"):
            pack(folder, "model.pth", tmp_path / "b.zip")
    finally:
        away.rename(stats)


def test_weights_are_packed_without_what_is_around_them(exp, monkeypatch, tmp_path):
    from espnet_prune.deploy.pack import pack

    recipe, folder, model = exp
    monkeypatch.chdir(recipe)
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"model": state}, folder / "ddp.pth")
    pack(folder, "ddp.pth", tmp_path / "tiny.zip")
    with zipfile.ZipFile(tmp_path / "tiny.zip") as content:
        content.extract("exp/asr_tiny/ddp.pth", tmp_path)
    found = torch.load(tmp_path / "exp/asr_tiny/ddp.pth", weights_only=True)
    assert found.keys() == as_written(model, model.state_dict()).keys()
    (folder / "ddp.pth").unlink()


def test_a_misfit_is_not_packed(exp, monkeypatch, tmp_path):
    from espnet_prune.deploy.pack import pack

    recipe, folder, model = exp
    monkeypatch.chdir(recipe)
    state = model.state_dict()
    state.pop("ctc.ctc_lo.bias")
    torch.save(state, folder / "broken.pth")
    with pytest.raises(UserError, match="lacks ctc.ctc_lo.bias"):
        pack(folder, "broken.pth", tmp_path / "tiny.zip")
    assert not list(tmp_path.iterdir())


def test_upload_hands_over_the_content(exp, monkeypatch, tmp_path):
    """Up to the network: what huggingface_hub would be asked to do."""
    calls = []

    class HfApi:
        def create_repo(self, repo, private, exist_ok):
            calls.append((repo, private, exist_ok))

        def upload_folder(self, repo_id, folder_path):
            found = deep.Path(folder_path).rglob("*")
            calls.append(sorted(p.name for p in found if p.is_file()))
            return types.SimpleNamespace(commit_url="https://hub/commit")

    hub = types.ModuleType("huggingface_hub")
    hub.HfApi = HfApi
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    from espnet_prune.deploy.pack import upload

    archive = packed(exp, monkeypatch, tmp_path / "tiny.zip")
    assert upload(archive, "me/tiny", private=True) == "https://hub/commit"
    assert calls[0] == ("me/tiny", True, True)
    assert {"README.md", "meta.yaml", "config.yaml", "model.pth"} <= set(calls[1])

    def refuse(self, *args, **kwargs):
        raise OSError("401: who are you?")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(UserError, match="me/tiny: 401"):
        upload(archive, "me/tiny")


def test_what_was_deployed_is_packed_while_it_is_of_this_model(
    exp, monkeypatch, tmp_path, caplog
):
    from espnet_prune.utils import sha256

    deployed = exp[1] / "deploy"
    (deployed / "sherpa-onnx" / "__pycache__").mkdir(parents=True)
    (deployed / "sherpa-onnx" / "tokens.txt").write_text("A 0\n")
    (deployed / "sherpa-onnx" / "__pycache__" / "a.pyc").touch()
    usage = 'tokens="{folder}/tokens.txt"'
    target = {"version": "2.0.1", "slot": "x", "precision": "fp32", "usage": usage}
    target.update(texts={"alike": 9, "of": 9}, limits=["no times"])
    proof = {
        "passed": True,
        "source": {"sha256": {"checkpoint": sha256(exp[1] / "model.pth")}},
        "sha256": {
            "sherpa-onnx/tokens.txt": sha256(deployed / "sherpa-onnx/tokens.txt")
        },
        "targets": {"sherpa-onnx": target},
    }
    write_json(proof, deployed / "deploy.json")
    archive = zipfile.ZipFile(packed(exp, monkeypatch, tmp_path / "tiny.zip"))
    below = "exp/asr_tiny/deploy/"
    names = [name for name in archive.namelist() if name.startswith(below)]
    assert sorted(names) == [f"{below}deploy.json", f"{below}sherpa-onnx/tokens.txt"]
    card = archive.read("README.md").decode()
    assert f"python {below}transcribe.py recording.wav" in card
    assert f'tokens="{below}sherpa-onnx/tokens.txt"' in card and "* no times" in card
    # one of another checkpoint would say something else
    proof["source"]["sha256"]["checkpoint"] = "another"
    write_json(proof, deployed / "deploy.json")
    archive = zipfile.ZipFile(packed(exp, monkeypatch, tmp_path / "tiny.zip"))
    assert not [name for name in archive.namelist() if "deploy" in name]
    assert "deploy: is not packed, because it is of another checkpoint" in caplog.text
    assert "transcribe.py" not in archive.read("README.md").decode()
