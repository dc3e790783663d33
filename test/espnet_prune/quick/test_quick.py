# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command quick: from a model and audio to a smaller model and a table."""

import shutil

import pytest

from espnet_prune.bin import quick
from espnet_prune.measure.cost import WHOLE, cost
from espnet_prune.measure.latency_table import (
    described,
    device_name,
    runtime_version,
)
from espnet_prune.models import load_model
from espnet_prune.quick import path
from espnet_prune.select import correction
from espnet_prune.structure import Structure
from espnet_prune.utils import UserError, read_json
from test.espnet_prune.quick.tiny import labels, make_tiny, run_quick
from test.espnet_prune.tables import OVERHEAD, table_of


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp")
    return folder, make_tiny(folder)


@pytest.fixture
def no_calibration(monkeypatch):
    def refuse(*args):
        raise AssertionError("calibrated again")

    monkeypatch.setattr(path, "make_path", refuse)


@pytest.fixture(scope="module")
def done(exp, tmp_path_factory):
    """A finished output directory."""
    out, (folder, options) = tmp_path_factory.mktemp("out") / "small", exp
    command = [*options, *labels(folder), "--target", "60%params"]
    quick.main([*command, "--output_dir", str(out)])
    return out


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_smaller_model_and_what_it_is_worth(exp, done):
    model, _ = load_model(done / "config.yaml", done / "model.pth")
    dense, _ = load_model(exp[0] / "config.yaml", exp[0] / "model.pth")
    counts = [
        cost(Structure.dense(m.encoder), part=WHOLE).params for m in (dense, model)
    ]
    assert 0.55 < counts[1] / counts[0] <= 0.6
    result = read_json(done / "quick.json")
    assert [row["encoder_params"] for row in result["models"].values()] == counts
    assert result["verify"] < 1e-6 and read_json(done / "verify.json")["equal"]
    score = result["score"]
    # its transcripts are what the dense model hears
    assert score["errors"]["before"]["rate"] == 0.0 and score["utterances"] == 6
    assert score["errors"]["after"]["rate"] == score["agreement"]["after"]["rate"]
    assert {"ctc", "beam"} <= set(result["recognition"]["times"]["after"])
    assert result["changed"] >= len(result["examples"])
    page = (done / "quick.md").read_text()
    for label in ("parameters, encoder", "GMACs of 10 s", "ms for 10 s", "CER, %"):
        assert f"| {label}" in page
    assert "(60%)" in page and "took: " in page


def test_milliseconds_hold_as_they_are_measured(exp, tmp_path, capsys, monkeypatch):
    """A machine on which everything but the dense encoder is a tenth slower."""
    model, _ = load_model(exp[0] / "config.yaml", exp[0] / "model.pth")
    dense = Structure.dense(model.encoder)
    here = dict(device=device_name(), version=runtime_version())
    table = table_of(dense, **here)
    table.rows.update({n: 1e-3 for n, ms in table.rows.items() if ms == OVERHEAD})
    table.dense_ms = full = cost(table.timed(dense), part=WHOLE).ms
    table.save(tmp_path / "latency.json")

    def shares(_, kept, *more, **how):
        return {"encoder": 1.1 * cost(kept, part=WHOLE).ms / full}

    monkeypatch.setattr(correction, "shares_of_time", shares)
    options = [*exp[1], "--latency", str(tmp_path / "latency.json")]
    line, _ = run_quick(tmp_path / "out", options, "60%ms", capsys)
    (row,) = read_json(tmp_path / "out" / "structure.json")["provenance"]["ms"]
    assert row["measured"] == pytest.approx(0.6 * full, rel=0.03)
    assert row["measured"] == pytest.approx(1.1 * row["predicted"])
    assert line["reached"] == pytest.approx(1 - row["measured"] / full)
    assert line["ms"] == [row]
    assert described([row]) in (tmp_path / "out" / "quick.md").read_text()


def test_what_is_finished_is_said_again(exp, done, capsys, no_calibration):
    before = files(done)
    options = [*exp[1], *labels(exp[0])]
    line, said = run_quick(done, options, "60%params", capsys)
    assert line["target"] == "60%params" and "parameters, encoder" in said
    assert line["score"] == read_json(done / "quick.json")["score"]
    assert files(done) == before


@pytest.mark.parametrize("target", ["50%params", "60%macs"])
def test_what_is_finished_is_not_written_over(exp, done, capsys, target):
    before = files(done)
    with pytest.raises(UserError, match="made with target 60%params, not"):
        run_quick(done, [*exp[1], *labels(exp[0])], target, capsys)
    assert files(done) == before


def test_what_was_interrupted_goes_on(exp, done, tmp_path, capsys, no_calibration):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    for name in ("quick.json", "quick.md", "model.pth"):
        (out / name).unlink()
    run_quick(out, [*exp[1], *labels(exp[0])], "60%params", capsys)
    assert (out / "model.pth").read_bytes() == (done / "model.pth").read_bytes()


def test_what_was_begun_for_something_else_is_begun_again(exp, done, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    (out / "quick.json").unlink()
    line, _ = run_quick(out, exp[1], "70%macs", capsys)
    assert line["reached"] == pytest.approx(0.3, abs=0.03)
    # without transcripts there is agreement alone
    assert "errors" not in line["score"] and "after" in line["score"]["agreement"]


@pytest.mark.parametrize(
    "changes, said",
    [
        (["--target", "half"], "say what is to remain"),
        (["--target", "1%params"], "cannot be reached"),
        (["--model", "nothing/here"], "no such file or directory"),
        (["--audio", "nothing/here"], "no such file or directory"),
        (["--text", "nothing/here"], "no such file"),
        (["--ngpu", "99"], "finds . GPU"),
        (["--output_dir", "{exp}"], "holds other files"),
    ],
)
def test_bad_input_is_told_before_long_work(
    exp, tmp_path, monkeypatch, capsys, no_calibration, changes, said
):
    monkeypatch.chdir(tmp_path)
    changes = [word.format(exp=exp[0]) for word in changes]
    with pytest.raises(UserError, match=said):
        run_quick(tmp_path / "out", [*exp[1], *changes], "60%params", capsys)
