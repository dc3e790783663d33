# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

from pathlib import Path

import pytest

from espnet_prune.bin import sweep
from espnet_prune.report import results
from espnet_prune.utils import UserError, read_json, write_yaml

FAKE = """#!/usr/bin/env bash
# a stand-in for run.sh: notes what it does, skips what is finished, fails when told to
all="$*"
while [ $# -gt 0 ]; do
    case "$1" in --dense_exp) exp=$2 ;; --prune_exp) exp=$2 ;; esac
    shift
done
if [ -e "${exp}/done" ]; then exit 0; fi
echo "${exp##*/}: ${all}" >> calls.txt
[ ! -e "fail_${exp##*/}" ] || exit 1
mkdir -p "${exp}"
touch "${exp}/done"
"""
WORDS = "--dense_exp exp/dense --expdir exp/sweep --prune_configs l0.yaml m.yaml"
WORDS += " --sparsities 30 62.5 -- --inference_nj 3"
# WER, parameters, GMACs and ms of every model
MODELS = {
    "dense": (10.0, 100e6, 10.0, 50.0),
    "l0_30": (10.5, 70e6, 6.0, 35.0),
    "l0_62.5": (12.0, 38e6, 3.5, 20.0),
    "m_30": (11.0, 70e6, 7.0, 30.0),
    "m_62.5": (30.0, 38e6, 4.0, 19.0),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A recipe with a stand-in for run.sh, and measurements without models."""
    monkeypatch.chdir(tmp_path)
    write_yaml({"method": "l0"}, "l0.yaml")
    write_yaml({"method": "magnitude"}, "m.yaml")
    Path("run.sh").write_text(FAKE)
    Path("run.sh").chmod(0o755)

    def measure(rows, frames, runs):
        found = []
        for row in rows:
            wer, params, gmacs, ms = MODELS[row.name]
            found.append(
                {
                    "name": row.name,
                    "encoder_params": params,
                    "total_params": params,
                    "gmacs": gmacs,
                    "bytes": 4 * params,
                    "latency": {"min_ms": ms},
                    "scores": {"dev+test": {"wer": {"rate": wer}}},
                }
            )
        return found

    monkeypatch.setattr(results, "measure", measure)
    monkeypatch.setattr(results, "add_scores", lambda found, rows: None)
    return tmp_path


def test_all_members_and_their_front(folder, capsys):
    sweep.main(WORDS.split())
    calls = Path("calls.txt").read_text().splitlines()
    assert sorted(line.split(":")[0] for line in calls) == sorted(MODELS)
    assert calls[0].startswith("dense: --inference_nj 3 --dense_exp exp/dense")
    assert "--stage 12 --stop_stage 14" in calls[0]
    member = next(line for line in calls if line.startswith("l0_62.5"))
    assert "--prune_config l0.yaml --prune_args --sparsity 0.625" in member
    assert member.endswith("--prune_exp exp/sweep/l0_62.5")
    fronts = read_json("exp/sweep/sweep.json")["fronts"]
    assert fronts["encoder_params"] == ["l0_62.5", "l0_30", "dense"]
    assert fronts["ms"] == ["m_62.5", "l0_62.5", "m_30", "l0_30", "dense"]
    text = Path("exp/sweep/RESULTS.md").read_text()
    assert "| m_30" in text and "| m_62.5  |" in text and "pareto.png" in text
    assert Path("exp/sweep/images/pareto.png").stat().st_size > 1000
    assert "| l0_62.5 |" in capsys.readouterr().out
    sweep.main(WORDS.split())  # nothing is repeated
    assert Path("calls.txt").read_text().splitlines() == calls


def test_a_failed_member_does_not_stop_the_others(folder, capsys):
    Path("fail_m_30").touch()
    with pytest.raises(UserError, match="1 jobs did not finish: m_30; their logs"):
        sweep.main(WORDS.split())
    assert "m_30" not in read_json("exp/sweep/sweep.json")["fronts"]["ms"]
    assert "| m_62.5  |" in capsys.readouterr().out
    Path("fail_m_30").unlink()
    sweep.main(WORDS.split())  # only the failed one is called again
    assert len(Path("calls.txt").read_text().splitlines()) == len(MODELS) + 1


def test_nothing_starts_without_the_dense_model(folder):
    Path("fail_dense").touch()
    with pytest.raises(UserError, match="5 jobs did not finish: dense"):
        sweep.main(WORDS.split())
    assert len(Path("calls.txt").read_text().splitlines()) == 1


def test_bad_calls(folder):
    for change, message in (
        (("30 62.5", "0"), "above 0 and below 100"),
        (("m.yaml", "l0.yaml"), "two members are called l0_30"),
        (("--sparsities", "--run no.sh --sparsities"), "no.sh is not there"),
    ):
        with pytest.raises(UserError, match=message):
            sweep.main(WORDS.replace(*change).split())
