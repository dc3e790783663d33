# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The proof of deployed files, and what it finds where they are wrong."""

import shutil

import numpy as np
import pytest
import torch

from espnet_prune.bin import prove as command
from espnet_prune.deploy.proof import prove
from espnet_prune.deploy.proof.compare import agreement, difference, together
from espnet_prune.runtime.check import check
from espnet_prune.utils import UserError, read_json, write_json
from test.espnet_prune.deep import HYBRID
from test.espnet_prune.deploy.proof.models import CONFORMER, TRANSDUCER, deployed

pytestmark = pytest.mark.runtime("onnxruntime")

CASES = ("the shortest", "1 s", "5 s", "20 s", "35 s", "silence", "an offset")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """All lengths are tried once, by `hybrid`."""
    monkeypatch.setattr("espnet_prune.deploy.proof.signals.LENGTHS", (1,))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    """A deployed model with a decoder, and its proof."""
    place = tmp_path_factory.mktemp("hybrid")
    out, model, config, source = deployed(place, HYBRID)
    return out, prove(out, model, config, source)


def test_what_is_proven(hybrid):
    out, report = hybrid
    assert report == read_json(out / "deploy.json") and report["passed"]
    assert {"model", "decoder"} == set(report["fp32"])
    cases = report["fp32"]["model"]["cases"]
    assert set(CASES) < set(cases) and any("batch" in name for name in cases)
    assert 0 < report["fp32"]["model"]["relative"] <= report["bar"] == 1e-4
    assert 0 < report["fp32"]["decoder"]["relative"] <= 1e-5
    assert report["masked_is_cut"]["relative"] <= 1e-6
    assert set(report["encoder_ms"]) == {"torch", "fp32"}
    assert set(report["versions"]) > {"espnet", "torch", "onnxruntime"}
    names = {path.name for path in out.iterdir()} - {"deploy.json"}
    assert set(report["sha256"]) == set(report["bytes"]) == names
    assert "check.npz" in names and report["cpu"]["name"]


def test_a_transducer_is_proven_token_by_token(tmp_path):
    out, model, config, source = deployed(tmp_path, TRANSDUCER)
    report = prove(out, model, config, source)
    assert set(report["fp32"]) == {"model", "prediction", "joint"}
    with torch.no_grad():  # another gate of the recurrence
        model.decoder.decoder[0].bias_ih_l0[0] += 0.01
    with pytest.raises(UserError, match="prediction.onnx differs from ESPnet's"):
        prove(out, model, config, source)


@torch.no_grad()
def another_mel(model):
    """One band a little wider; its gain alone would go with the mean."""
    model.frontend.logmel.melmat[60, 12] += 0.01


@torch.no_grad()
def another_weight(model):
    model.encoder.encoders[0].feed_forward.w_1.weight[0, 0] += 0.05


def another_mask(model):
    """Self-attention that does not see the last frame."""
    attention, inner = model.encoder.encoders[0].self_attn, model.encoder.encoders[0]
    forward = attention.forward

    def blind(query, key, value, position, mask):
        mask = mask.clone()
        mask[..., -1] = False
        return forward(query, key, value, position, mask)

    inner.self_attn.forward = blind


@pytest.mark.parametrize("change", [another_mel, another_weight, another_mask])
def test_another_model_is_found(tmp_path, change):
    out, model, config, source = deployed(tmp_path, CONFORMER)
    change(model)
    with pytest.raises(UserError, match="model.onnx differs from ESPnet's model by"):
        prove(out, model, config, source)
    assert not (out / "deploy.json").exists()


def test_a_decoder_of_another_seed_is_found(hybrid, tmp_path):
    out, model, config, source = deployed(tmp_path, HYBRID)
    shutil.copy(out / "decoder.onnx", tmp_path / "kept.onnx")
    other = deployed(tmp_path / "other", HYBRID, seed=1)[0]
    shutil.copy(other / "decoder.onnx", out)
    with pytest.raises(UserError, match="decoder.onnx differs from ESPnet's"):
        prove(out, model, config, source)


def test_a_file_that_mixes_rows_of_a_batch_is_found(tmp_path, monkeypatch):
    """What is behind a shorter utterance must not be heard."""
    from espnet_prune.deploy.onnx import encoder

    class Unmasked(encoder.Model):
        def forward(self, x, lengths):
            return super().forward(x, torch.full_like(lengths, x.size(1)))

    monkeypatch.setattr("espnet_prune.deploy.onnx.package.Model", Unmasked)
    out, model, config, source = deployed(tmp_path, CONFORMER)
    with pytest.raises(UserError, match="on a batch of 5, 1 and 3.3 s"):
        prove(out, model, config, source)


def run(*words):
    command.main([str(word) for word in words])


def test_the_command_proves_again(hybrid, tmp_path, capsys):
    place = tmp_path / "moved"
    shutil.copytree(hybrid[0], place)
    run(place)
    said = capsys.readouterr().out
    assert "model.onnx = ESPnet: " in said and "decoder.onnx = ESPnet: " in said
    run(place, "--recorded")
    assert "model fp32 as recorded: 0.0e+00" in capsys.readouterr().out
    before = read_json(place / "deploy.json")
    assert before["source"] == hybrid[1]["source"]

    gone = {**before, "source": {**before["source"], "checkpoint": "gone.pth"}}
    write_json(gone, place / "deploy.json")
    with pytest.raises(UserError, match="gone.pth, is not there; say where"):
        run(place)
    other = deployed(tmp_path / "other", HYBRID, seed=1)[3]
    with pytest.raises(UserError, match="is another checkpoint than the one"):
        run(place, "--model", other["checkpoint"])
    run(place, "--model", before["source"]["checkpoint"])
    assert read_json(place / "deploy.json")["source"] == before["source"]

    shutil.copy(tmp_path / "other/out/model.onnx", place)
    with pytest.raises(UserError, match="is not the file that deploy.json is about"):
        run(place, "--recorded")
    with pytest.raises(UserError, match="model.onnx differs from ESPnet's"):
        run(place)
    assert not read_json(place / "deploy.json")["passed"]
    with pytest.raises(UserError, match="the proof has failed: .*model.onnx differs"):
        run(place, "--recorded")


def test_what_runs_another_way_here_is_found(hybrid, tmp_path):
    """The files are those of the proof, but give something else."""
    place = tmp_path / "copy"
    shutil.copytree(hybrid[0], place)
    with np.load(place / "check.npz") as stored:
        record = dict(stored)
    assert set(check(place)) == {"model fp32", "decoder fp32"}
    record["model fp32"] = record["model fp32"] * np.float32(1.001)
    np.savez_compressed(place / "check.npz", **record)
    proof = read_json(place / "deploy.json")
    del proof["sha256"]["check.npz"]
    write_json(proof, place / "deploy.json")
    with pytest.raises(UserError, match="model fp32 differs here by 1.0e-03"):
        check(place)


@pytest.mark.parametrize(
    "words, message",
    [
        (["nothing"], "has no config.json; give a directory that deploy wrote"),
        (["bare", "--recorded"], "has no deploy.json; give a directory that deploy"),
        (["bare"], "the config that it was made of, unknown, is not there"),
    ],
)
def test_directories_that_are_none(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare").mkdir()
    write_json({"format": 1}, tmp_path / "bare" / "config.json")
    with pytest.raises(UserError, match=message):
        run(*words)


def test_differences():
    wanted = np.log(np.array([[0.7, 0.2, 0.1], [0.34, 0.33, 0.33]]))
    found = difference(wanted, wanted + 0.01, 1e-2)
    assert found["relative"] == pytest.approx(0.01 / -np.log(0.1))
    assert found["frames"] == 2 and found["others"] == 0
    other = wanted[:, [1, 0, 2]]  # only the first frame is clear
    assert difference(wanted, other, 2e-3)["others"] == 1
    assert difference(wanted, wanted[:1], 1e-3)["relative"] == float("inf")
    assert difference(wanted, wanted * np.nan, 1e-3)["relative"] == float("inf")
    assert agreement(wanted, other)["alike"] == 0
    assert agreement(wanted, wanted)["alike"] == 2


def test_the_rounding_of_espnet_itself_is_no_fault():
    far = {"relative": 2e-5, "frames": 3, "others": 0}
    assert not together([far], 1e-5)["passed"]
    assert not together([{**far, "rounding": 1e-6}], 1e-5)["passed"]
    found = together([{**far, "rounding": 1e-5}], 1e-5)
    assert found["passed"] and found["rounding"] == 1e-5 and found["relative"] == 2e-5
    assert not together([{**far, "rounding": 1e-5, "others": 1}], 1e-5)["passed"]
