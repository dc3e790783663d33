# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Sizes from one calibration: some at once, any one later, and beside quick."""

import json
import shutil

import pytest

from espnet_prune.bin import sizes as command
from espnet_prune.measure.cost import WHOLE, cost
from espnet_prune.models import load_model
from espnet_prune.quick import path
from espnet_prune.quick.sizes import folder_of
from espnet_prune.quick.target import parse_target
from espnet_prune.structure import Structure
from espnet_prune.utils import UserError, read_json
from test.espnet_prune.quick.tiny import labels, make_tiny, run_quick


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp")
    return folder, make_tiny(folder)


@pytest.fixture(scope="module")
def done(exp, tmp_path_factory):
    """An output directory with three sizes by MACs."""
    out, (folder, options) = tmp_path_factory.mktemp("out") / "sizes", exp
    options = [*options[:-2], *labels(folder), "--kind", "macs", "--points", "3"]
    command.main([*options, "--output_dir", str(out)])
    return out


@pytest.fixture
def no_calibration(monkeypatch):
    def refuse(*args):
        raise AssertionError("calibrated again")

    monkeypatch.setattr(path, "make_path", refuse)


def macs(folder):
    """Return the MACs of a model's encoder, for as long as its budget counts."""
    name = next(p.name for p in folder.glob("*.pth"))
    model, _ = load_model(folder / "config.yaml", folder / name)
    return cost(Structure.dense(model.encoder), 1000, WHOLE).macs


def test_some_sizes_and_what_each_is_worth(exp, done):
    result, dense = read_json(done / "sizes.json"), macs(exp[0])
    names = [row["name"] for row in result["rows"]]
    assert names == ["dense", "90%macs", "50%macs", "10%macs"]
    shares = [macs(done / "sizes" / f"macs_{n}") / dense for n in (90, 50, 10)]
    assert 0.8 < shares[0] <= 0.9 and 0.4 < shares[1] <= 0.5 and shares[2] <= 0.1
    for row, share in zip(result["rows"][1:], shares):
        assert row["gmacs"] / result["rows"][0]["gmacs"] == pytest.approx(share)
        assert row["verify"] < 1e-6 and row["ms"] > 0
    assert set(result["score"]["errors"]) == set(names)
    page = (done / "sizes.md").read_text()
    assert "| 50%macs |" in page and "CER, %" in page and "judged by" in page
    assert (done / "sizes.png").stat().st_size > 1000


def test_any_size_later_without_calibrating(exp, done, capsys, no_calibration):
    before = read_json(done / "sizes.json")
    for target, folder in (("70%macs", "macs_70"), ("60%params", "params_60")):
        capsys.readouterr()
        command.main(["--output_dir", str(done), "--target", target])
        line = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert [row["name"] for row in line["rows"]] == ["dense", target]
        assert read_json(done / "sizes" / folder / "sizes.json") == line
    assert 0.65 < macs(done / "sizes" / "macs_70") / macs(exp[0]) <= 0.7
    assert read_json(done / "sizes.json") == before


def test_the_same_size_is_the_same_model(done, capsys, no_calibration):
    files = done / "sizes" / "macs_50" / "model.pth", done / "sizes.json"
    before = files[0].read_bytes()
    command.main(["--output_dir", str(done), "--target", "50%macs"])
    assert files[0].read_bytes() == before


def test_quick_writes_sizes_too(exp, tmp_path, capsys):
    out = tmp_path / "out"
    options = [*exp[1], "--sizes"]
    line, said = run_quick(out, options, "55%params", capsys)
    result = read_json(out / "quick.json")
    names = [row["name"] for row in result["sizes"]["rows"]]
    assert names[:3] == ["dense", "90%params", "80%params"]
    assert (out / "sizes" / "params_90" / "model.pth").is_file()
    assert (out / "model.pth").is_file() and "| 90%params |" in said
    capsys.readouterr()
    command.main(["--output_dir", str(out), "--target", "75%params"])
    assert (out / "sizes" / "params_75" / "verify.json").is_file()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--target", "1%macs"], "is beyond the end of this path"),
        (["--target", "50"], "say what is to remain"),
        (["--target", "50%macs", "--model", "x"], "leave it out"),
        (["--output_dir", "{tmp}", "--target", "50%macs"], "has filled"),
        (["--output_dir", "{tmp}"], "--model is missing"),
        (["--output_dir", "{tmp}", "--model", "x"], "--audio is missing"),
    ],
)
def test_bad_input(done, tmp_path, options, said):
    options = [word.format(tmp=tmp_path) for word in options]
    with pytest.raises(UserError, match=said):
        command.main(["--output_dir", str(done), *options])


def test_a_path_that_was_not_kept(done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    shutil.rmtree(out / "path")
    with pytest.raises(UserError, match="too large to be kept"):
        command.main(["--output_dir", str(out), "--target", "50%macs"])


@pytest.mark.parametrize(
    "text, name",
    [
        ("50%params", "params_50"),
        ("12.5 % macs", "macs_12.5"),
        ("40ms", "ms_40ms"),
        ("800kparams", "params_800kparams"),
    ],
)
def test_names_of_directories(text, name):
    assert folder_of(parse_target(text)) == name
