# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""GPU hours of a comparison's jobs, before there are data."""

import shlex
from pathlib import Path

import pytest

from espnet_prune.bin import compare
from espnet_prune.measure import forecast
from espnet_prune.utils import UserError, read_yaml, write_yaml
from test.egs2.compared import FAKE
from test.espnet_prune import deep

RECIPES = Path(__file__).parents[2] / "egs2"
KEYS = ("frontend", "frontend_conf", "encoder", "encoder_conf", "model_conf")
TRAIN = {"batch_type": "numel", "batch_bins": 400000}
ROWS = {
    "dense_one": {"kind": "dense_one"},
    "l0": {},
    "again": {"cut": "l0"},
    "obs": {"select": "obs.yaml", "recover": "none"},
    "obs_cycle": {"cut": "obs", "select": "obs.yaml"},
    "scratch": {"kind": "scratch_structure", "of": "obs"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A recipe's directory: 2 epochs, then 1 + 3."""
    pytest.importorskip("espnet2")
    monkeypatch.chdir(tmp_path)
    model = {key: deep.CONFIG[key] for key in KEYS}
    write_yaml({**model, **TRAIN, "max_epoch": 2}, "train.yaml")
    budget = {"kind": "params", "sparsity": 0.5}
    own = {"l0_conf": {"ramp_steps": 70}, "train_conf": {**TRAIN, "max_epoch": 1}}
    write_yaml({"method": "l0", "budget": budget, **own}, "l0.yaml")
    write_yaml({"method": "obs", "budget": budget}, "obs.yaml")
    write_yaml({**TRAIN, "max_epoch": 3}, "recover.yaml")
    options = {"token_type": "char", "hours": 1, "speed_perturb_factors": "0.5 1.0"}
    shared = {"dense": "train.yaml", "select": "l0.yaml", "recover": "recover.yaml"}
    data = {**shared, "sizes": [50], "rows": ROWS, "options": options}
    write_yaml({**data, "expdir": "exp"}, "compare.yaml")
    Path("prune.sh").write_text(FAKE)
    Path("prune.sh").chmod(0o755)


def told(capsys, *words):
    """{name of the job: what is told of its hours}, and the line below."""
    compare.main(["compare.yaml", "--dry_run", "--tflops", "1e-5", *words])
    _, *jobs, last = capsys.readouterr().out.splitlines()
    found = {}
    for line in jobs:
        hours, _, *options = shlex.split(line)
        given = dict(zip(options[::2], options[1::2]))
        exp = given.get("--prune_exp", given.get("--dense_exp", "data"))
        found[Path(exp).name] = hours
    return found, last


def test_hours_of_every_job_and_their_sum(capsys, monkeypatch):
    built, dense_row = [], forecast.dense_row

    def counted(*args):
        built.append(args)
        return dense_row(*args)

    monkeypatch.setattr(forecast, "dense_row", counted)
    found, last = told(capsys)
    assert found.pop("scratch_50_s0") == "?"  # its structure is not there yet
    hours = {name: float(text) for name, text in found.items()}
    an_epoch = hours["dense_s0"] / 2
    assert an_epoch > 1
    wanted = {"data": 0, "dense_s0": 2, "dense_one_0_s0": 6, "l0_50_s0": 4}
    wanted.update(again_50_s0=3, obs_50_s0=0, obs_cycle_50_s0=4)
    assert hours == {k: pytest.approx(n * an_epoch, abs=0.3) for k, n in wanted.items()}
    total, *words = last.split()
    assert float(total) == pytest.approx(19 * an_epoch, abs=0.5)
    assert "GPU hours in all" in last and "1e-05 TFLOP/s" in last
    assert len(built) == 1  # a model of one shape
    # both speeds: three hours of speech an epoch
    data = read_yaml("compare.yaml")
    data["options"].pop("speed_perturb_factors")
    write_yaml(data, "compare.yaml")
    slow, _ = told(capsys, "--rows", "dense_one")
    assert float(slow["dense_s0"]) == pytest.approx(hours["dense_s0"] / 3, abs=0.2)
    data["options"].pop("hours")
    write_yaml(data, "compare.yaml")
    compare.main(["compare.yaml", "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9 and all(x.startswith("./prune.sh ") for x in lines[1:])


def test_what_no_number_is_and_what_cannot_be_cut(capsys):
    data = read_yaml("compare.yaml")
    data["options"]["hours"] = "many"
    write_yaml(data, "compare.yaml")
    with pytest.raises(UserError, match="options: hours, .* must be numbers"):
        told(capsys)
    data["options"]["hours"] = 1
    write_yaml({**data, "sizes": [99.99]}, "compare.yaml")
    with pytest.raises(UserError, match="budget"):
        told(capsys)


@pytest.mark.parametrize("corpus", ["librispeech", "librispeech_100", "large_speech"])
def test_the_evidence_of_a_corpus_can_be_made(corpus, monkeypatch, tmp_path):
    """All sizes of all rows, by the recipe's own script, after equal efforts."""
    from espnet_prune.report.compare import conf, configs
    from espnet_prune.report.compare.plan import make_plan

    monkeypatch.chdir(RECIPES / corpus / "asr_prune1")
    c = conf.read("conf/compare.yaml", {"expdir": str(tmp_path / "exp")}, [])
    assert c.against == "dense_one" and Path(c.run).is_file()
    assert sorted(c.sizes) == [50, 70, 85] and float(c.options["hours"]) > 5
    monkeypatch.setattr(configs, "uniform_config", lambda dense, removed: dense)
    plan = make_plan(c)
    kinds = {row.kind for row in c.rows.values()}
    assert kinds == {"dense_one", "scratch_long", "prune"}
    names = {name.rsplit("_", 2)[0] for name in plan.jobs}
    assert {"obs", "obs_cycle", "scratch_long", "dense_one"} <= names
    if corpus != "large_speech":
        assert {"l0_kd", "magnitude", "magnitude_cycle"} <= names
    after = configs.total(c)["epochs"]
    dense = read_yaml(c.dense["dense"])["max_epoch"]
    made = tmp_path / "exp/conf"
    for row in ("dense_one_0", "scratch_long_50"):
        assert read_yaml(made / f"{row}.yaml")["max_epoch"] == dense + after
    recover = read_yaml(made / "recover_obs_cycle.yaml")
    assert recover["max_epoch"] == after
    # one cycle, to the rate that the dense model had
    assert recover["scheduler"] == "cosineannealingwarmuprestarts"
    top = read_yaml(c.dense["dense"])["optim_conf"]["lr"]
    assert recover["scheduler_conf"]["max_lr"] == recover["optim_conf"]["lr"] == top
