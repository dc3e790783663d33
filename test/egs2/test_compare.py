# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import subprocess
from pathlib import Path

import pytest
import torch

from espnet_prune.bin import compare
from espnet_prune.report import results
from espnet_prune.report.compare import conf, configs, rows, scores
from espnet_prune.report.compare.plan import make_plan
from espnet_prune.report.compare.run import Runner
from espnet_prune.utils import UserError, read_json, read_yaml, write_json, write_yaml
from test.egs2.compared import (
    BASE,
    calls,
    measured,
    run,
    write_recipe,
    write_results,
    written,
)

RECIPE = Path(__file__).parents[2] / "egs2" / "an4" / "asr_prune1"
MACS = {
    "l0_kd_macs": {"budget": {"kind": "macs"}},
    "l0_kd_blocks": {"budget": {"kind": "macs"}, "units": ["head"]},
    "l0_kd_parts": {"budget": {"kind": "macs", "cnn": "size", "transformer": "size"}},
}
ROWS = {
    "l0_kd": {},
    "l0": {"distill": False, "seeds": [1]},
    "magnitude": {"select": "m.yaml", "distill": False, "seeds": [1]},
    "dense_long": {"kind": "dense_long", "seeds": [1]},
    **MACS,
}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A recipe's directory with a comparison, and a stand-in for prune.sh."""
    monkeypatch.chdir(tmp_path)
    write_recipe()
    write_yaml({**BASE, "rows": ROWS}, "compare.yaml")
    return tmp_path


def test_the_configurations_differ_only_where_they_should():
    jobs = make_plan(conf.read("compare.yaml", {}, [])).jobs
    select = {name: written(job)[0] for name, job in jobs.items()}
    recover = {name: written(job)[-1] for name, job in jobs.items()}
    assert select["l0_kd_70_s1"]["budget"] == {
        "kind": "params", "sparsity": 0.7, "frames": 1000
    }  # fmt: skip
    macs = {"kind": "macs", "sparsity": 0.5, "frames": 1000}
    assert select["l0_kd_macs_50_s1"] == {**select["l0_kd_50_s1"], "budget": macs}
    blocks = select["l0_kd_blocks_50_s2"]
    assert blocks["budget"] == macs and blocks["units"] == ["head"]
    assert select["l0_kd_parts_50_s1"]["budget"] == {
        "kind": "macs", "cnn": 0.5, "transformer": 0.5, "frames": 1000
    }  # fmt: skip
    assert all(recover[f"{m}_50_s1"] == recover["l0_kd_50_s1"] for m in MACS)
    assert select["l0_kd_50_s1"].pop("distill_conf") == {"w_ctc": 1.0}
    assert select["l0_kd_50_s1"] == select["l0_50_s1"]
    assert set(select["magnitude_50_s1"]) == {"method", "budget"}
    # the same number of epochs after the dense model, and a teacher only for l0_kd
    assert recover["l0_kd_50_s1"].pop("distill_conf") == {"w_ctc": 1.0}
    assert recover["l0_kd_50_s1"] == recover["l0_50_s1"]
    assert recover["l0_50_s1"]["max_epoch"] == 4
    # the learning rate ends where it did
    assert recover["magnitude_50_s1"] == {
        "max_epoch": 10,
        "scheduler_conf": {"first_cycle_steps": 250},
    }
    both = [{"of": "decoder", "sparsity": "size"}, {"kind": "macs", "sparsity": 0.3}]
    write_yaml({**BASE, "rows": {"both": {"budget": both}}}, "both.yaml")
    job = make_plan(conf.read("both.yaml", {}, [])).jobs["both_70_s1"]
    assert written(job)[0]["budget"] == [
        {"of": "decoder", "sparsity": 0.7}, {"kind": "macs", "sparsity": 0.3}
    ]  # fmt: skip
    parts = {"cnn": 0.5, "transformer": 0.5}
    write_yaml({**read_yaml("prune.yaml"), "budget": parts}, "prune.yaml")
    with pytest.raises(UserError, match="budget: "):
        make_plan(conf.read("compare.yaml", {}, ["l0_kd"]))


def test_equal_updates(monkeypatch):
    """Epochs of another length: the sum is kept in updates."""
    prune = read_yaml("prune.yaml")
    prune["train_conf"] = {"max_epoch": 2, "num_iters_per_epoch": 300}
    write_yaml(prune, "prune.yaml")
    recover = {"max_epoch": 2, "num_iters_per_epoch": 400}
    recover["scheduler_conf"] = {"first_cycle_steps": 800}
    write_yaml(recover, "recover.yaml")
    c = conf.read("compare.yaml", {}, ["l0_kd", "magnitude", "dense_long"])
    assert configs.total(c) == {"updates": 1400}
    assert configs.recover_conf(c, c.rows["l0_kd"]) == recover
    for found in (
        configs.recover_conf(c, c.rows["magnitude"]),
        configs.train_conf(c, c.rows["dense_long"], 0, Path()),
    ):
        assert found["max_epoch"] * found["num_iters_per_epoch"] == 1400
        assert found["scheduler_conf"]["first_cycle_steps"] == 1400
    c = conf.make({**BASE, "rows": {"x": {"kind": "scratch_long"}}}, "it", "it")
    monkeypatch.setattr(configs, "uniform_config", lambda dense, removed: dense)
    with pytest.raises(UserError, match="equal updates need num_iters_per_epoch"):
        configs.train_conf(c, c.rows["x"], 50, Path())
    prune["train_conf"]["max_epoch"] = 9
    write_yaml(prune, "longer.yaml")
    slow = {"x": {"select": "longer.yaml"}}
    c = conf.make({**BASE, "rows": slow}, "it", "it")
    with pytest.raises(UserError, match="longer.yaml: the selection takes longer"):
        configs.recover_conf(c, c.rows["x"])


def test_jobs_wait_for_their_dense_model_and_run_side_by_side():
    failed, names = run("--rows", "l0_kd", "--sizes", "50", "--data_dir", "/x/an4")
    assert failed is None and len(names) == 5
    assert names[0] == "data" and set(names[1:3]) == {"dense_s1", "dense_s2"}
    assert set(names[3:]) == {"l0_kd_50_s1", "l0_kd_50_s2"}
    line = calls()[-1]
    assert "--data_dir /x/an4" in line and "--token_type char" in line
    assert "--test_sets dev test" in line and "--stage 15 --stop_stage 19" in line
    ends = Path("ends.txt").read_text().splitlines()
    assert len(ends) == 5


def test_how_long_jobs_take_follows_from_epochs_that_others_have_had(caplog):
    rows = {**ROWS, "cut": {"cut": "l0_kd", "effort": 3}}
    write_yaml({**BASE, "seeds": [1], "sizes": [50], "rows": rows}, "compare.yaml")
    plan = make_plan(conf.read("compare.yaml", {}, ["l0_kd", "cut", "dense_long"]))
    names = ("data", "dense_s1", "dense_long_0_s1", "l0_kd_50_s1", "cut_50_s1")
    jobs = [plan.jobs[name] for name in names]
    # what l0_kd has selected is not selected again
    assert [job.epochs for job in jobs] == [0, 30, 10, 10, 24]
    # of a dense model that is there already, what is selected is only read
    own = make_plan(conf.read("compare.yaml", {"dense_exp": "there"}, ["l0_kd"]))
    assert own.jobs["dense"].epochs == 0
    runner = Runner(conf.read("compare.yaml", {}, []), plan, "", [])
    assert runner.minutes_left(jobs) is None
    logs = Path("exp/log")
    logs.mkdir(parents=True)
    for name, minutes in zip(names, (1.0, 60.0, 20.0, 0.1)):
        (logs / f"{name}.minutes").write_text(str(minutes))
    # two minutes an epoch; a job that failed at once has its own still before it
    assert runner.minutes_left(jobs[3:]) == pytest.approx(10 * 2 - 0.1 + 24 * 2)
    assert runner.minutes_left(jobs[4:]) == pytest.approx(24 * 2)
    assert runner.minutes_left(jobs[:1]) is None  # it has no epochs
    (logs / "cut_50_s1.minutes").write_text("nan")  # it runs, or was killed
    assert runner.minutes_left(jobs[4:]) == pytest.approx(24 * 2)
    with caplog.at_level("INFO"):
        run("--rows", "l0_kd", "--seeds", "1")
    told = [r.getMessage() for r in caplog.records if "jobs" in r.getMessage()]
    assert told == [
        "all: 0/3 jobs",
        "all: 1/3 jobs",
        "all: 2/3 jobs, about 20 core minutes left",
        "all: 3/3 jobs",
    ]


def test_the_dense_model_goes_on_as_long_as_the_others():
    failed, names = run("--rows", "dense_long")
    assert names == ["data", "dense_s1", "dense_s2", "dense_long_0_s1"][:2] + names[2:]
    assert "dense_long_0_s1" in names and failed is None
    own = read_yaml("exp/conf/dense_long_0.yaml")
    assert own["max_epoch"] == 10 and own["encoder"] == "conformer"
    assert "distill_conf" not in own
    call = next(line for line in calls() if line.startswith("dense_long"))
    assert call.endswith("--init_param exp/dense_s1/valid.acc.ave.pth")


def test_trained_anew_with_the_structure_that_was_found():
    """Its configuration is written when the pruned model is there."""
    more = {"scratch_structure": {"kind": "scratch_structure", "of": "l0_kd"}}
    more["dense_one"] = {"kind": "dense_one"}
    short = {**BASE, "seeds": [1], "sizes": [50]}
    write_yaml({**short, "rows": {**more, "l0_kd": {}}}, "compare.yaml")
    kept = {"encoder": "pruned_conformer", "encoder_conf": {"structure": {"heads": 1}}}
    cut = Path("to_copy/l0_kd_50_s1")
    cut.mkdir(parents=True)
    write_yaml({**kept, "max_epoch": 4}, cut / "config.yaml")
    failed, names = run()
    assert failed is None
    assert names.index("l0_kd_50_s1") < names.index("scratch_structure_50_s1")
    own = read_yaml("exp/conf/scratch_structure_50_s1.yaml")
    assert own == {**kept, "max_epoch": 40, "optim": "adam"}
    assert read_yaml("exp/conf/dense_one_0.yaml")["max_epoch"] == 40


def test_a_failure_stops_only_what_depends_on_it():
    Path("fail_dense_s1").touch()
    failed, names = run("--rows", "l0_kd")
    assert "3 jobs did not finish: dense_s1, l0_kd_50_s1, l0_kd_70_s1;" in failed
    assert "l0_kd_70_s2" in names


def test_dry_run(capsys):
    compare.main(["compare.yaml", "--rows", "l0_kd", "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0 rows are finished" and len(lines) == 1 + 1 + 2 + 4
    assert calls() == []
    # several words in one, and the name that rows had before
    words = ["--methods", "l0_kd l0", "--sizes", "50 70", "--seeds", "1", "--dry_run"]
    compare.main(["compare.yaml", *words])
    assert len(capsys.readouterr().out.splitlines()) == 1 + 1 + 1 + 4
    with pytest.raises(UserError, match="--sizes 5O: .*'5O'"):
        compare.main(["compare.yaml", "--sizes", "5O"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": {"x": {"kind": "scrach"}}}, "unknown key 'scrach'.*mean 'scratch'"),
        ({"rows": {"x": {"selct": "y"}}}, "x: unknown key 'selct'.*mean 'select'"),
        ({"rows": {}, "dense": None}, "key 'dense' is missing"),
        ({"rows": {"x": {"of": "y"}}}, "x: of: unknown key 'y'"),
        ({"rows": {"x": {}}, "sizes": [0]}, "above 0 and below 100"),
        ({"rows": {"x": {}}, "select": None}, "key 'select' is missing"),
        ({"rows": {"x": {"budget": [{"sparsity": 0.5}]}}}, "x: budget: a list stands"),
        ({"rows": {"x": {"budget": 0.5}}}, "x: budget is 0.5, must be"),
        ({"rows": {"x": {}}, "seeds": "0"}, "seeds is '0', must be a list"),
    ],
)
def test_bad_yaml(change, message):
    with pytest.raises(UserError, match=message):
        conf.make({**BASE, **change}, "compare.yaml", "compare")


def test_a_part_of_the_rows_stands_where_all_would_have_it():
    rows = conf.read("compare.yaml", {}, ["magnitude", "l0_kd"]).rows
    assert {name: row.place for name, row in rows.items()} == {
        "magnitude": 3, "l0_kd": 1
    }  # fmt: skip


def test_unknown_row():
    with pytest.raises(UserError, match="'l0_dk'.*did you mean 'l0_kd'"):
        conf.read("compare.yaml", {}, ["l0_dk"])


@pytest.mark.parametrize("path", sorted(RECIPE.parents[1].glob("*/*/conf/compare*")))
def test_recipes(path, tmp_path, monkeypatch):
    """What recipes compare can be planned, at every size and seed."""
    monkeypatch.chdir(path.parents[1])
    c = conf.read(str(path), {"expdir": str(tmp_path / "out")}, [])
    monkeypatch.setattr(configs, "uniform_config", lambda dense, removed: dense)
    plan = make_plan(c)
    assert len(plan.points) > 2
    assert all(job.late or written(job) for job in plan.jobs.values())


def test_the_table(monkeypatch, capsys):
    monkeypatch.setattr(results, "measure", measured)
    monkeypatch.setattr(rows, "measure", measured)
    some = {"l0_kd": {}, "l0": {"seeds": [2]}, "dense_long": ROWS["dense_long"]}
    write_yaml({**BASE, "seeds": [1, 2, 3], "rows": some}, "compare.yaml")
    errors = {
        "dense_s1": [1, 1],
        "dense_s2": [1, 3],
        "l0_kd_50_s1": [2, 2],
        "l0_kd_50_s2": [2, 4],
        "l0_50_s2": [4, 3],
        "l0_70_s2": [4, 3],
        "dense_long_0_s1": [0, 0],
    }
    compare.main(["compare.yaml", "--only_table"])
    assert capsys.readouterr().out.startswith("nothing is finished yet")
    for name, own in errors.items():
        write_results(Path("exp") / name, own)
    budgets = [{"kind": "macs"}, {"kind": "macs", "of": "decoder"}]
    provenance = {"provenance": {"budget": budgets}}
    write_json(provenance, "exp/l0_kd_50_s1/cut/structure.json")
    write_yaml({"accum_grad": 2}, "exp/l0_kd_50_s1/config.yaml")
    stats = {"stats": {1: {"train": {"total_count": 14}}}}
    torch.save({"reporter": stats}, "exp/l0_kd_50_s1/checkpoint.pth")
    compare.main(["compare.yaml", "--only_table"])
    text = capsys.readouterr().out
    head = [cell.strip() for cell in text.splitlines()[0].strip("| ").split("|")]
    assert head[7:] == [f"WER {s}" for s in ("test", "dev", "dev+test")] + [
        "WER against dense, test", "WER against dense, dev+test"
    ]  # fmt: skip
    row = next(x for x in text.splitlines() if x.startswith("| l0_kd"))
    cells = [cell.strip() for cell in row.strip("| ").split("|")]
    assert cells[1:6] == ["50 % of the MACs", "1 2", "1 M (50%)", "0.5 (50%)", "7"]
    assert cells[7].startswith("25.00 [") and cells[9].startswith("25.00 [")
    assert cells[10:] == ["+10.00 [+10.00, +10.00]"] * 2  # each utterance has one more
    for name in ("wer_over_macs", "remains", "pareto"):
        assert Path(f"exp/images/{name}.png").stat().st_size > 1000
    text = Path("exp/RESULTS.md").read_text()
    assert "- date: " in text and "30.0 (50%)" in text
    # of one size or dense_long, with a seed in common; of 20 words each
    _, pairs = text.split("The first method against the others")
    cells = [[cell.strip() for cell in x.split("|")] for x in pairs.splitlines()]
    own = [row[3:-1] for row in cells if row[1:2] == ["l0_kd"]]
    assert own == [
        ["l0", *["-5.00 [-20.00, +10.00]"] * 6],
        ["dense_long", *["+20.00 [+20.00, +20.00]"] * 6],
    ]
    assert "test: 2 utterances, dev: 2 utterances, dev+test: 4" in text
    assert "says nothing about other speakers" in text
    row = read_json("results/exp/l0_kd_50_s1.json")
    assert row["versions"].keys() == {"espnet_prune", "python", "espnet", "torch"}
    assert row["machine"].keys() == {"cpu", "cores"} and row["ms"] == 30.0
    assert row["scores"]["cer"]["test"]["errors"] == "2 2"
    words = ["--data_dir", "/home/me/an4"]  # a row says nothing of its machine
    assert rows.public(words) == "espnet-prune compare --data_dir /path/to/an4"
    inner = ["--", "--local_data_opts", "--real_dir /a/b c --of=/d/e/ --at http://x/y"]
    assert rows.public(inner).endswith(
        "'--real_dir /path/to/b c --of=/path/to/e --at http://x/y'"
    )
    names = [p.name for p in Path("results/exp").iterdir()]
    assert sorted(names) == sorted(f"{name}.json" for name in errors)


def test_intervals_are_drawn_by_speaker(tmp_path):
    """One speaker is understood, the other never; labels of result.txt name them."""
    (tmp_path / "dump/raw/test").mkdir(parents=True)
    utts = [f"{s}-1-u{i}" for s in "gb" for i in range(9)]
    spk = "".join(f"{u}\t{u[:3]}\n" for u in utts)
    lines = [
        f"id: ({u[:3]}-{u})\nScores: (#C #S #D #I) {5 * (u[0] == 'g')} "
        f"{5 * (u[0] == 'b')} 0 0\n"
        for u in utts
    ]
    for measure in ("wer", "cer"):
        folder = tmp_path / "x/beam/test" / f"score_{measure}"
        folder.mkdir(parents=True)
        (folder / "result.txt").write_text("".join(lines))

    def interval():
        raw, sets = tmp_path / "dump/raw", ["test"]
        values = scores.read_scores(tmp_path / "x/beam", sets, raw)["wer"]["test"]
        return values["interval"], values["drawn"]

    (low, high), drawn = interval()
    assert 20 < low < high < 80 and drawn == "18 utterances"
    (tmp_path / "dump/raw/test/utt2spk").write_text(spk)
    assert interval() == ([0.0, 100.0], "2 speakers")


def test_a_conformer_of_the_same_size():
    dense = {"output_size": 48, "attention_heads": 4, "linear_units": 96}
    dense.update(num_blocks=2, macaron_style=True, rel_pos_type="latest")
    dense.update(pos_enc_layer_type="rel_pos", selfattention_layer_type="rel_selfattn")
    config = {"encoder": "conformer", "encoder_conf": dense, "max_epoch": 3}
    small = configs.uniform_config(config, 0.7)
    assert {k: v for k, v in small.items() if k != "encoder_conf"} == {
        "encoder": "conformer",
        "max_epoch": 3,
    }
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    def size(conf):
        return sum(p.numel() for p in ConformerEncoder(80, **conf).parameters())

    assert size(small["encoder_conf"]) == pytest.approx(0.3 * size(dense), rel=0.02)
    changed = {k for k in dense if small["encoder_conf"][k] != dense[k]}
    assert changed <= {"output_size", "linear_units"}


def test_compare_sh():
    """The recipe's short way: its own comparison unless another is named."""
    words = ["local/compare.sh", "--rows", "l0_dk"]
    done = subprocess.run(words, cwd=RECIPE, capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean 'l0_kd'" in done.stderr
    words = ["local/compare.sh", "--help"]
    done = subprocess.run(words, cwd=RECIPE, capture_output=True, text=True)
    assert done.returncode == 0 and "--dense_exp" in done.stdout
