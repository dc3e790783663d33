# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models of other tasks go through quick, and are trained on if their data is there."""

import os
import shutil

import pytest

from espnet_prune import UserError
from espnet_prune.models import load_model
from espnet_prune.quick import recover
from espnet_prune.tasks import task_of
from espnet_prune.utils import read_mapping
from test.espnet_prune.quick.tiny import run_quick
from test.espnet_prune.train.test_tasks import write_data, write_dense

LONG = bool(os.environ.get("ESPNET_PRUNE_LONG"))
# what lies beside the audio under which name, by task
FILES = {
    "slu": {"text": "text"},
    "st": {"text": "text", "src_text": "source"},
    "s2t": {"text": "tagged", "text_prev": "before", "text_ctc": "spaced"},
    "s2t_ctc": {"text": "tagged", "text_prev": "before", "text_ctc": "spaced"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_data(root)
    return root


def options(name, data, folder):
    """Write a model and a data directory of its task; return the words of quick."""
    write_dense(folder / "exp", name)
    (folder / "data").mkdir()
    for own, file in {"wav.scp": "wav.scp", **FILES[name]}.items():
        shutil.copy(data / f"train_{file}", folder / "data" / own)
    words = ["--model", str(folder / "exp"), "--audio", str(folder / "data")]
    return [*words, "--beam_size", "1", "--recover", "--num_utts", "4"]


@pytest.mark.parametrize("name", sorted(FILES) if LONG else ["st"])
def test_a_training_has_all_that_its_task_wants(
    name, data, tmp_path, capsys, monkeypatch
):
    cycle = recover.Cycle(4, 2, 3.0, 1e-3)
    monkeypatch.setattr(recover.Cycle, "within", lambda *unused: cycle)
    words = options(name, data, tmp_path)
    line, said = run_quick(tmp_path / "out", words, "80%params", capsys)
    assert line["kept"] in ("cut", "recovered") and line["recovery"]["steps"] == 4
    trained = read_mapping(tmp_path / "out/recover/exp/config.yaml")
    given = [row[1] for row in trained["train_data_path_and_name_and_type"]]
    assert given == ["speech", *FILES[name]] and not trained.get("teacher_model")
    found = tmp_path / "out/config.yaml", tmp_path / "out/model.pth"
    assert task_of(load_model(*found)[1]).name == name
    # what is heard in another language is compared with the dense model alone
    assert ("errors" in line["score"]) == (name == "slu")


@pytest.mark.parametrize(
    "missing, said",
    [
        ("src_text", "st wants src_text, and no table of it has all 12 utterances"),
        ("text", "data: has no text, and a training of task st wants text and src_te"),
    ],
)
def test_what_is_missing_is_told_before_long_work(
    missing, said, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("espnet_prune.quick.run.path_of", None)
    words = options("st", data, tmp_path)
    (tmp_path / "data" / missing).unlink()
    with pytest.raises(UserError, match=said):
        run_quick(tmp_path / "out", words, "80%params", capsys)
