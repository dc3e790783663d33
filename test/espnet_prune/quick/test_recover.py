# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A training after the cut: from transcripts, or from what the dense model hears."""

import pytest
import torch

from espnet_prune.models import load_model
from espnet_prune.quick import recover
from espnet_prune.quick.hearing import Hearing
from espnet_prune.utils import UserError, read_json, read_mapping
from test.espnet_prune.quick.tiny import labels, make_tiny, run_quick


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp")
    return folder, make_tiny(folder)


@pytest.fixture
def short(monkeypatch):
    """Two steps in two epochs, however long there is; returns what was asked for."""
    asked = []

    def within(minutes, spent, dense, top):
        asked.append((minutes, spent, dense, top))
        return recover.Cycle(2, 2, 2.0, 1e-4)

    monkeypatch.setattr(recover.Cycle, "within", within)
    return asked


def weights(config, model):
    return load_model(config, model)[0].state_dict()


@pytest.mark.parametrize("better", [True, False])
def test_the_better_one_is_kept(exp, tmp_path, capsys, monkeypatch, short, better):
    folder, options = exp
    rates = {"before": 0.0, "cut": 20.0, "recovered": 10.0 if better else 20.0}
    stock = Hearing.score

    def score(self, heard):
        found = stock(self, heard)
        for name, row in found["errors"].items():
            row["rate"] = rates[name]
        return found

    monkeypatch.setattr(Hearing, "score", score)
    out = tmp_path / "out"
    line, said = run_quick(
        out, [*options, *labels(folder), "--recover"], "60%params", capsys
    )
    kept = "recovered" if better else "cut"
    assert line["kept"] == kept and line["recovery"]["steps"] == 2
    assert ("does not lower" in said) != better and " recovered |" in said
    own = weights(out / "config.yaml", out / "model.pth")
    cut = weights(out / "cut" / "config.yaml", out / "cut" / "model.pth")
    same = all(torch.equal(own[key], cut[key]) for key in cut)
    assert own.keys() == cut.keys() and same != better
    assert read_mapping(out / "config.yaml")["output_dir"] == str(out)
    assert (out / "structure.json").is_file() and (out / "cost.json").is_file()
    # the proof is of the cut model
    assert (out / "verify.json").is_file() != better
    assert 9.5 < short[0][0] <= 10.0


def test_an_interrupted_one_goes_on(exp, tmp_path, capsys, monkeypatch, short):
    out, options = tmp_path / "out", [*exp[1], *labels(exp[0]), "--recover"]
    run_quick(out, options, "60%params", capsys)
    before = (out / "recover/exp/valid.cer_ctc.ave.pth").read_bytes()
    (out / "quick.json").unlink()
    for path in out.glob("recover/exp/*.pth"):
        if not path.name.startswith(("1epoch", "checkpoint")):
            path.unlink()  # as if it had been killed in its second epoch
    monkeypatch.setattr(recover, "step_time", None)  # the time is not measured again
    line, _ = run_quick(out, options, "60%params", capsys)
    assert line["recovery"]["steps"] == 2 and len(short) == 1
    assert len((out / "recover/exp/valid.cer_ctc.ave.pth").read_bytes()) == len(before)


def test_without_transcripts_the_dense_model_teaches(
    exp, tmp_path, capsys, caplog, short
):
    out = tmp_path / "out"
    caplog.set_level("INFO")
    line, _ = run_quick(out, [*exp[1], "--recover", "1"], "60%params", capsys)
    assert line["kept"] in ("cut", "recovered") and "errors" not in line["score"]
    trained = read_mapping(out / "recover" / "exp" / "config.yaml")
    assert trained["teacher_model"].endswith("model.pth")
    heard = (out / "recover" / "valid" / "text").read_text()
    assert heard == (exp[0] / "data" / "valid_text").read_text()
    assert "kd_layer" in caplog.text and "kd_ctc" in caplog.text
    result = read_json(out / "quick.json")
    assert list(result["models"]) == ["before", "cut", "recovered"]


@pytest.mark.parametrize(
    "changes, said",
    [
        (["--recover", "0"], "more than 0 minutes"),
        (["--task", "ssl"], "task ssl says nothing"),
    ],
)
def test_what_cannot_be_trained_is_told_before_long_work(
    exp, tmp_path, capsys, monkeypatch, changes, said
):
    monkeypatch.setattr("espnet_prune.quick.run.path_of", None)
    options = [*exp[1], "--recover", *changes]
    with pytest.raises(UserError, match=said):
        run_quick(tmp_path / "out", options, "60%params", capsys)
