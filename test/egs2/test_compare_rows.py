# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Rows of a comparison that share a cut, or are what was cut; and their times."""

import re
from pathlib import Path

import pytest

from espnet_prune.bin import compare
from espnet_prune.report import results
from espnet_prune.report.compare import conf, configs, rows, times
from espnet_prune.report.compare.plan import make_plan
from espnet_prune.report.compare.run import Runner
from espnet_prune.report.compare.scores import read_scores
from espnet_prune.report.compare.tables import read_rows
from espnet_prune.report.scoring import count_intents
from espnet_prune.utils import (
    UserError,
    read_json,
    read_yaml,
    write_json,
    write_yaml,
)
from test.egs2.compared import (
    BASE,
    DECODE,
    measured,
    run,
    write_recipe,
    write_results,
    written,
)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A recipe's directory."""
    monkeypatch.chdir(tmp_path)
    write_recipe()


def test_a_cut_that_several_rows_recover():
    """It is made once, and every row of it has its own recovery."""
    own = {"low": {"cut": "untrained", "recover": "low.yaml"}, "whole": {}}
    short = {**BASE, "seeds": [1], "sizes": [50], "select": "m.yaml"}
    short["rows"] = {"untrained": {"recover": "none"}, **own}
    write_yaml(short, "compare.yaml")
    write_yaml({**read_yaml("recover.yaml"), "optim": "sgd"}, "low.yaml")
    for part in ("select", "cut"):
        made = Path("to_copy/untrained_50_s1") / part
        made.mkdir(parents=True)
        (made / ".done_stage").write_text(part)
    plan = make_plan(conf.read("compare.yaml", {}, []))
    failed, names = run("--max_jobs", "1")
    assert failed is None
    assert names.index("untrained_50_s1") < names.index("low_50_s1")
    for part in ("select", "cut"):
        assert Path("exp/low_50_s1", part, ".done_stage").read_text() == part
        assert not Path("exp/whole_50_s1", part).exists()
    low, untrained = (
        plan.jobs[f"{name}_50_s1"].options for name in ("low", "untrained")
    )
    at = low.index("--prune_config") + 1
    assert low[at] == untrained[at] == "exp/conf/untrained_50.yaml"
    assert written(plan.jobs["low_50_s1"])[-1]["optim"] == "sgd"
    # another recovery is another row; another cut, too
    before = plan.digest("low_50_s1")
    write_yaml({"method": "magnitude", "budget": {"kind": "macs"}}, "m.yaml")
    assert make_plan(conf.read("compare.yaml", {}, [])).digest("low_50_s1") != before
    # what the cut took belongs to every row of it
    log = Path("exp/log")
    (log / "low_50_s1.minutes").write_text("2.0")
    (log / "untrained_50_s1.minutes").write_text("1.5")
    c = conf.read("compare.yaml", {}, [])
    point = next(p for p in make_plan(c).points if p.name == "low_50_s1")
    assert rows.core_minutes(c, point) == 3.5
    with pytest.raises(UserError, match="cut: only a row that is pruned has one"):
        kind = {"kind": "dense_long", "cut": "whole"}
        conf.make({**short, "rows": {**short["rows"], "x": kind}}, "it", "it")
    with pytest.raises(UserError, match="cut: unknown key 'whol'.*mean 'whole'"):
        conf.make({**short, "rows": {"x": {"cut": "whol"}, "whole": {}}}, "it", "it")


def test_a_row_with_an_effort_of_its_own():
    """A recovery of three times the length ends its rate where the others do."""
    own = {"half": {}, "long": {"effort": 3}, "cut": {"select": "m.yaml"}}
    own["cut_long"] = {"cut": "cut", "effort": 3}
    data = {**BASE, "seeds": [1], "sizes": [50], "rows": own}
    jobs = make_plan(conf.make(data, "c.yaml", "c")).jobs
    found = {name: written(jobs[f"{name}_50_s1"])[-1] for name in own}
    # six of ten epochs go to the gates of the first two
    epochs = {name: own["max_epoch"] for name, own in found.items()}
    assert epochs == {"half": 4, "long": 24, "cut": 10, "cut_long": 30}
    steps = {
        name: own["scheduler_conf"]["first_cycle_steps"] for name, own in found.items()
    }
    assert steps == {"half": 100, "long": 600, "cut": 250, "cut_long": 750}
    for bad in ({"effort": 0}, {"kind": "scratch_long", "effort": 2}):
        with pytest.raises(UserError, match="effort is above 0, and only a row that"):
            conf.make({**data, "rows": {"x": bad}}, "it", "it")


def test_a_dense_model_from_elsewhere_has_statistics_of_its_tokens():
    """They are made with it, once, for what is recovered from it; rows stay."""
    write_yaml({**BASE, "seeds": [1], "sizes": [50], "rows": {"half": {}}}, "c.yaml")
    plan = make_plan(conf.read("c.yaml", {}, []))
    runner = Runner(conf.read("c.yaml", {}, []), plan, "", [])

    def first(name):
        words = runner.words(plan.jobs[name])
        return words[words.index("--stage") + 1]

    digest = plan.digest("half_50_s1")
    assert [first(name) for name in ("data", "dense_s1", "half_50_s1")] == (
        ["1", "11", "15"]
    )
    for exp in ("dense_s1", "half_50_s1"):
        Path("exp", exp).mkdir()
        Path("exp", exp, "config.yaml").touch()
    assert [first(name) for name in ("data", "dense_s1", "half_50_s1")] == (
        ["1", "10", "15"]
    )
    assert plan.digest("half_50_s1") == digest
    Path("exp/dense_s1/.begun_stage11").touch()
    assert first("dense_s1") == "11"


def test_a_dense_model_that_no_row_needs_is_not_trained(monkeypatch):
    monkeypatch.setattr(configs, "uniform_config", lambda dense, removed: dense)
    one = {"kind": "dense_one"}
    own = {"half": {}, "small": {"kind": "scratch_long"}, "one": one}
    write_yaml(
        {**BASE, "seeds": [1], "sizes": [50], "rows": own, "against": "one"}, "c.yaml"
    )
    for chosen, trained in ((["half"], True), (["small", "one"], False)):
        plan = make_plan(conf.read("c.yaml", {}, chosen))
        needed = [job.name for job in plan.needed(plan.points)]
        assert ("dense_s1" in needed) == trained, chosen
    # what all are compared with stays
    plan = make_plan(conf.read("c.yaml", {"against": "dense"}, ["small"]))
    assert "dense_s1" in [job.name for job in plan.needed(plan.points)]


def test_a_row_comes_with_the_one_whose_cut_it_takes():
    own = {"half": {"of": "dense"}, "cut": {"recover": "none"}, "low": {"cut": "cut"}}
    own["again"] = {"kind": "scratch_structure", "of": "low"}
    own["dense"] = {}  # called as what all are cut of
    write_yaml({**BASE, "sizes": [50], "rows": own}, "c.yaml")
    for chosen, found in (
        (["half"], ["half"]),
        (["low"], ["low", "cut"]),
        (["again", "half"], ["again", "half", "low", "cut"]),
        ([], list(own)),
    ):
        read = conf.read("c.yaml", {}, chosen).rows
        assert list(read) == found, chosen
        assert [row.place for row in read.values()] == (
            [1 + list(own).index(name) for name in found]
        )
    for bad, told in ((5, "rows: half is 5, must be"), ({"cut": ["low"]}, "half: cut")):
        write_yaml({**BASE, "sizes": [50], "rows": {**own, "half": bad}}, "c.yaml")
        with pytest.raises(UserError, match=told):
            conf.read("c.yaml", {}, ["half"])


def test_rows_do_not_depend_on_where_their_models_lie():
    """Another comparison can take a row that one has made, if it is the same."""
    own = {"untrained": {"recover": "none"}, "low": {"cut": "untrained"}}
    data = {**BASE, "seeds": [1], "sizes": [50], "rows": own}
    plan = make_plan(conf.make(data, "x.yaml", "x"))
    other = make_plan(conf.make({**data, "expdir": "exp/other"}, "y.yaml", "y"))
    assert plan.jobs.keys() == other.jobs.keys()
    assert all(plan.digest(name) == other.digest(name) for name in plan.jobs)
    plan = make_plan(conf.make({**data, "rows": {**own, "low": {}}}, "z.yaml", "z"))
    assert plan.digest("low_50_s1") != other.digest("low_50_s1")


def test_rows_as_they_were_cut_and_a_table_of_ones_own(monkeypatch, capsys):
    monkeypatch.setattr(results, "measure", measured)
    monkeypatch.setattr(rows, "measure", measured)
    own = {"untrained": {"recover": "none"}, "recovered": {}}
    columns = ["model", "removed", "ms", "wer:test"]
    data = {**BASE, "seeds": [1], "rows": own, "columns": columns}
    c = conf.make({**data, "sizes": [50]}, "x.yaml", "x")
    jobs = make_plan(c).jobs
    untrained, recovered = (jobs[f"{name}_50_s1"].options for name in own)
    assert untrained[untrained.index("--recover_config") + 1] == "none"
    assert recovered[recovered.index("--recover_config") + 1].endswith(".yaml")
    assert configs.total(c) == {"epochs": 10}  # of those that are recovered
    for name in ("dense_s1", "untrained_50_s1"):
        write_results(Path("exp") / name, [1, 2])
    write_yaml(data, "compare.yaml")
    Path("exp/log").mkdir()
    for name, minutes in (("dense_s1", "3.0"), ("untrained_50_s1", "2.0")):
        Path(f"exp/log/{name}.minutes").write_text(minutes)
    compare.main(["compare.yaml", "--only_table"])
    effort = {
        p.stem: read_json(p)["core_minutes"] for p in Path("results/exp").glob("*")
    }
    # the dense model was there already: what its job took is not its training
    assert effort == {"dense_s1": None, "untrained_50_s1": 2.0}
    head, _, dense, cut, *rest = capsys.readouterr().out.splitlines()
    cells = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in (head, cut)
    ]
    assert cells[0] == ["model", "removed", "encoder ms", "WER test"]
    assert cells[1][:3] == ["untrained", "50 %", "30.0 (50%)"]
    assert dense.startswith("| dense") and not any(line[:1] == "|" for line in rest)


def test_times_are_those_of_structures(monkeypatch, capsys):
    """Rows of one structure have one time, and a busy machine's does not replace it."""
    monkeypatch.setattr(results, "measure", measured)
    monkeypatch.setattr(rows, "measure", measured)
    own = {"untrained": {"recover": "none"}, "recovered": {}, "other": {}}
    write_yaml({**BASE, "seeds": [1], "sizes": [50], "rows": own}, "compare.yaml")
    for n, name in enumerate(("dense", *own)):
        exp = Path("exp") / (f"{name}_s1" if name == "dense" else f"{name}_50_s1")
        write_results(exp, [1, 2])
        write_yaml({"encoder_conf": {"units": max(n, 1) // 2}}, exp / "config.yaml")
    Path("conf").mkdir()
    write_yaml({"beam_size": 2}, "conf/decode_asr.yaml")
    told = []

    def timed(entries, options, runs):
        told.append([entry.config.parent.name for entry in entries.values()])
        assert options == {"beam_size": 2} and runs == 15
        return {n: {"ms": 7.0 + i, "onnx_ms": 5.0 + i} for i, n in enumerate(entries)}

    monkeypatch.setattr(times, "measure_times", timed)
    with pytest.raises(UserError, match="--times: no row is finished"):
        compare.main(["compare.yaml", "--times"])
    compare.main(["compare.yaml", "--only_table"])
    compare.main(["compare.yaml", "--times"])
    # dense is as untrained, recovered as other
    assert told == [["untrained_50_s1", "other_50_s1"]]
    compare.main(["compare.yaml", "--only_table"])
    found = {p.stem: read_json(p) for p in Path("results/exp").iterdir()}
    ms = {name: (row["ms"], row["onnx_ms"]) for name, row in found.items()}
    assert ms["dense_s1"] == ms["untrained_50_s1"] == (7.0, 5.0)
    assert ms["recovered_50_s1"] == ms["other_50_s1"] == (8.0, 6.0)
    (run_at,) = {row["timed"] for row in found.values()}
    assert re.fullmatch(r"\d{4}(-\d\d){2}T(\d\d:){2}\d\dZ", run_at)
    assert Path("exp/images/wer_over_ms.png").stat().st_size > 1000


def test_how_unlike_the_dense_model_rows_are(monkeypatch, capsys):
    """By what was heard, not by what was said; of speakers, where they are known."""
    monkeypatch.setattr(results, "measure", measured)
    monkeypatch.setattr(rows, "measure", measured)
    own = {"obs": {"recover": "none"}, "alone": {"kind": "scratch"}}
    columns = ["model", "agree:test", "agree:real"]
    data = {**BASE, "seeds": [1], "sizes": [50], "rows": own, "columns": columns}
    write_yaml({**data, "test_sets": ["test", "real"]}, "compare.yaml")
    heard = {"dense_s1": ["A B C D", "E F G H"], "obs_50_s1": ["A B X", "E F G H I"]}
    monkeypatch.setattr(configs, "uniform_config", lambda dense, removed: dense)
    for name, texts in {**heard, "alone_50_s1": ["A B C D", ""]}.items():
        write_results(Path("exp") / name, [1, 2], sets=("test", "real"))
        lines = "".join(f"u{i} {text}\n" for i, text in enumerate(texts))
        (Path("exp") / name / DECODE / "real/text").write_text(lines)
    compare.main(["compare.yaml", "--only_table"])
    table = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    cells = {row[1].strip(): row[3].strip() for row in table if len(row) > 4}
    assert cells["model"] == "words unlike those of dense, real"
    assert cells["dense"] == "" and cells["obs"].startswith("37.50 [")  # 3 of 8 words
    assert cells["alone"].startswith("50.00 [")
    found = read_json("results/exp/obs_50_s1.json")["scores"]["agree"]
    assert list(found) == ["real"] and found["real"]["drawn"] == "2 utterances"
    assert found["real"]["errors"] == "2 1" and found["real"]["words"] == "4 4"
    # another seed is told from what its own dense model has heard
    row = read_json("results/exp/obs_50_s1.json")
    other = {**found["real"], "errors": "0 3", "words": "5 4"}
    row["scores"]["agree"] = {"real": other}
    timed = {**row, "seed": 2, "ms": 1.5, "onnx_ms": 7.5, "core_minutes": 3.0}
    write_json(timed, Path("results/exp/obs_50_s2.json"))
    (line,) = [r for r in read_rows(Path("results/exp")) if r["name"] == "obs"]
    assert line["onnx_ms"] == 7.5 and line["ms"] == row["ms"]
    assert line["core_minutes"] == 3.0 and row["core_minutes"] is None
    seen = line["scores"]["agree"]["real"]
    assert (seen["errors"], seen["words"]) == ("2 4", "9 8")
    row["scores"]["agree"]["real"]["words"] = "5"
    write_json({**row, "seed": 2}, Path("results/exp/obs_50_s2.json"))
    with pytest.raises(UserError, match="scored on other utterances"):
        read_rows(Path("results/exp"))
    # a seed whose dense model is not there tells errors alone
    del row["scores"]["agree"]
    write_json({**row, "seed": 2}, Path("results/exp/obs_50_s2.json"))
    (line,) = [r for r in read_rows(Path("results/exp")) if r["name"] == "obs"]
    assert line["seeds"] == [1, 2] and line["scores"].keys() == {"wer", "cer"}


def test_intents_are_compared_by_their_accuracy(monkeypatch, capsys):
    """In spoken language understanding; the right ones count, of speakers or not."""
    monkeypatch.setattr(results, "measure", measured)
    monkeypatch.setattr(rows, "measure", measured)
    columns = ["model", "intent:test", "against:dense:intent:test", "wer:test"]
    data = {**BASE, "seeds": [1], "sizes": [50], "columns": columns}
    options = {"use_intent": True}
    own = {"rows": {"obs": {"recover": "none"}}, "options": options}
    write_yaml({**data, **own, "test_sets": ["test"]}, "compare.yaml")
    compare.main(["compare.yaml", "--dry_run"])
    assert "--use_intent true" in capsys.readouterr().out  # as the recipe spells it
    folder = Path("exp/{}", DECODE, "test", "score_intent").as_posix()
    for name, heard in {"dense_s1": "abcd", "obs_50_s1": "abcx"}.items():
        write_results(Path("exp") / name, [0, 1, 2, 0], sets=("test",))
        labels = [f"Spk-U{i}" for i in range(4)]
        count_intents(labels, list("abcd"), list(heard), Path(folder.format(name)))
    compare.main(["compare.yaml", "--only_table"])
    table = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    cells = {row[1].strip(): [c.strip() for c in row[2:5]] for row in table if row[1:]}
    assert cells["model"][:2] == [
        "intent accuracy test", "intent accuracy against dense, test"
    ]  # fmt: skip
    assert cells["dense"][0] == "100.00 [100.00, 100.00]"
    assert cells["obs"][0].startswith("75.00 [") and cells["obs"][2][:5] == "7.50 "
    assert cells["obs"][1].startswith("-25.00 [")
    # without columns of one's own they have the first table
    write_yaml({**data, **own, "test_sets": ["test"], "columns": []}, "compare.yaml")
    compare.main(["compare.yaml", "--only_table"])
    heads = [line for line in capsys.readouterr().out.splitlines() if "model" in line]
    assert "intent accuracy test" in heads[0] and "WER test" in heads[1]
    # a file of other utterances is no result
    path = Path(folder.format("obs_50_s1"), "result.txt")
    path.write_text(path.read_text().replace("3 of 4", "3 of 5"))
    with pytest.raises(UserError, match="is of other utterances.*score again"):
        read_scores(path.parents[2], ["test"], Path("dump/raw"))
