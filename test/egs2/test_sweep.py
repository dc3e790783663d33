# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

from pathlib import Path

import pytest

from espnet_prune.bin import sweep
from espnet_prune.report import results
from espnet_prune.report.compare import rows
from espnet_prune.utils import UserError, read_json, write_json, write_yaml
from test.egs2.compared import FAKE, SIZES, calls, write_results

WORDS = "--dense_exp exp/dense --expdir exp/sweep --prune_configs l0.yaml m.yaml"
WORDS += " --sparsities 30 62.5 -- --inference_nj 3"
# errors of 20 words, parameters, GMACs and ms of every model
MODELS = {
    "dense": (2, 100e6, 10.0, 50.0),
    "l0_30": (3, 70e6, 6.0, 35.0),
    "l0_62.5": (5, 38e6, 3.5, 20.0),
    "m_30": (4, 70e6, 7.0, 30.0),
    "m_62.5": (12, 38e6, 4.0, 19.0),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A recipe with a stand-in for run.sh, and measurements without models."""
    monkeypatch.chdir(tmp_path)
    write_yaml({"method": "l0"}, "l0.yaml")
    write_yaml({"method": "magnitude"}, "m.yaml")
    Path("run.sh").write_text(FAKE)
    Path("run.sh").chmod(0o755)
    for name, (errors, *_) in MODELS.items():
        write_results(Path("to_copy") / name, [errors // 2, errors - errors // 2])

    def measure(entries, frames, runs):
        found = []
        for entry in entries:
            wer, params, gmacs, ms = MODELS[entry.model.parent.name]
            found.append(
                {
                    **SIZES,
                    "name": entry.name,
                    "encoder_params": params,
                    "gmacs": gmacs,
                    "latency": {"min_ms": ms} if runs else 0,
                    "scores": {"dev+test": {"wer": {"rate": 5 * wer}}},
                }
            )
        return found

    monkeypatch.setattr(results, "measure", measure)
    monkeypatch.setattr(rows, "measure", measure)
    monkeypatch.setattr(results, "add_scores", lambda found, entries: None)
    return tmp_path


def names():
    return [line.split(":")[0] for line in calls()]


def test_all_members_and_their_front(folder, capsys):
    sweep.main(WORDS.split())
    assert sorted(names()) == sorted(MODELS)
    own = "--inference_config conf/decode_asr.yaml --inference_nj 3"
    assert calls()[0].startswith(f"dense: {own}")
    assert "--stage 12 --stop_stage 14" in calls()[0]
    member = next(line for line in calls() if line.startswith("l0_62.5"))
    assert "--prune_config l0.yaml" in member
    assert "--stage 15 --stop_stage 21" in member
    assert "--dense_exp exp/dense --prune_exp exp/sweep/l0_62.5" in member
    assert member.endswith("--prune_args --sparsity 0.625")
    text = Path("exp/sweep/RESULTS.md").read_text()
    assert "--dense_exp exp/dense" in text and "pareto.png" in text
    best = {
        line.split("|")[1].strip(): line.split("|")[2].strip()
        for line in text.split("no other is better in WER and")[1].splitlines()[2:7]
    }
    assert best == {
        "dense": "parameters, MACs, ms",
        "l0 30 %": "parameters, MACs, ms",
        "l0 62.5 %": "parameters, MACs, ms",
        "m 30 %": "ms",
        "m 62.5 %": "ms",
    }
    for name in ("pareto", "wer_over_macs", "remains"):
        assert Path(f"exp/sweep/images/{name}.png").stat().st_size > 1000
    assert "| l0 62.5 % |" in capsys.readouterr().out
    row = read_json("results/sweep/m_62.5.json")
    assert row["scores"]["wer"]["dev+test"]["rate"] == 60
    assert (row["size"], row["seed"], row["ms"]) == (62.5, None, 19.0)
    assert 0 <= row["core_minutes"] < 0.1
    before = calls()
    sweep.main(WORDS.split())  # nothing is repeated
    assert calls() == before


def test_what_changed_is_done_again(folder):
    sweep.main(WORDS.split())
    write_yaml({"method": "l0", "units": ["head"]}, "m.yaml")
    Path("calls.txt").unlink()
    sweep.main(WORDS.split())
    assert sorted(names()) == ["dense", "m_30", "m_62.5"]


def test_a_failed_member_does_not_stop_the_others(folder, capsys):
    Path("fail_m_30").touch()
    with pytest.raises(UserError, match="1 jobs did not finish: m_30; their logs"):
        sweep.main(WORDS.split())
    assert not Path("results/sweep/m_30.json").exists()
    assert "| m 62.5 % " in capsys.readouterr().out
    Path("fail_m_30").unlink()
    sweep.main(WORDS.split())  # only the failed one is called again, and its dense
    assert sorted(names()[len(MODELS) :]) == ["dense", "m_30"]


def test_nothing_starts_without_the_dense_model(folder):
    Path("fail_dense").touch()
    with pytest.raises(UserError, match="5 jobs did not finish: dense"):
        sweep.main(WORDS.split())
    assert names() == ["dense"]


def test_different_decoding_is_refused(folder):
    sweep.main(WORDS.split())
    for name, margin in (("dense", 0), ("m_30", 20)):
        path = Path(f"results/sweep/{name}.json")
        row = read_json(path)
        write_json({**row, "decoding": {"ctc_window_margin": margin}}, path)
    with pytest.raises(UserError, match="decoded differently: ctc_window_margin"):
        sweep.main(WORDS.split())


def test_bad_calls(folder):
    for change, message in (
        (("30 62.5", "0"), "above 0 and below 100"),
        (("m.yaml", "l0.yaml"), "two jobs are called l0"),
        (("--sparsities", "--run no.sh --sparsities"), "no.sh is not there"),
        (("--expdir exp/sweep", ""), "--expdir is missing"),
    ):
        with pytest.raises(UserError, match=message):
            sweep.main(WORDS.replace(*change).split())
