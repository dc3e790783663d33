# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models are compared only where they were decoded alike, and tables say how."""

import importlib.metadata

import pytest

from espnet_prune.report import decoding
from espnet_prune.report.results import add_scores, made_by
from espnet_prune.utils import UserError, read_json, write_json

GIVEN = {"beam_size": 10, "ctc_window_margin": 100, "lm_file": None, "key_file": "k"}
GIVEN["transducer_conf"] = {}


@pytest.fixture
def jobs(tmp_path):
    folders = [tmp_path / f"output.{job}" for job in (1, 2)]
    for folder in folders:
        decoding.note(GIVEN, folder)
    return folders


def test_jobs_note_what_changes_results_and_the_releases(jobs, tmp_path):
    decoding.collect(jobs, tmp_path)
    found = read_json(tmp_path / decoding.FILE)
    espnet, torch = map(importlib.metadata.version, ("espnet", "torch"))
    expected = {"beam_size": 10, "ctc_window_margin": 100}
    assert found == {**expected, "espnet": espnet, "torch": torch}
    text = f"beam_size 10, ctc_window_margin 100; espnet {espnet}, torch {torch}"
    assert decoding.described(found) == text
    assert text in made_by([{"decoding": found}])


def test_jobs_of_two_kinds_are_refused(jobs, tmp_path):
    decoding.note({**GIVEN, "ctc_window_margin": 0}, jobs[1])
    with pytest.raises(UserError, match="ctc_window_margin 100 and 0; decode both"):
        decoding.collect(jobs, tmp_path)


def test_models_of_two_kinds_are_refused(jobs, tmp_path):
    class Row:
        def __init__(self, decoded):
            self.decoded = decoded

    found = [{"name": "dense"}, {"name": "pruned"}]
    rows = [Row(folder) for folder in jobs]
    add_scores(found, rows)
    assert found[0]["decoding"] == found[1]["decoding"] != {}
    note = read_json(jobs[1] / decoding.FILE)
    write_json({**note, "espnet": "1"}, jobs[1] / decoding.FILE)
    with pytest.raises(UserError, match="dense and pruned were decoded.*espnet .* 1;"):
        add_scores(found, rows)
    (jobs[1] / decoding.FILE).unlink()  # decoded before this was noted
    add_scores(found, rows)
    assert found[1]["decoding"] == {}
