# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Method obs from the command line: select, then cut; what is refused."""

import json

import pytest
import torch

from espnet_prune import UserError, cost
from espnet_prune.bin import cut, select
from espnet_prune.models import load_model
from espnet_prune.structure import Structure
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model

CONF = {
    "method": "obs",
    "budget": {"kind": "params", "sparsity": 0.3},
    "obs_conf": {"num_utts": 4, "rounds": [0.2], "powers": [0.0, 0.5]},
}


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp")
    make_exp(folder, make_model(CONFIG))
    return folder


def words(exp, folder, conf, *more):
    """Return the command line of a selection into a folder."""
    folder.mkdir(exist_ok=True)
    write_yaml(conf, folder / "obs.yaml")
    files = {"config": folder / "obs.yaml", "model_config": exp / "config.yaml"}
    files.update(model_file=exp / "model.pth", output_dir=folder / "out")
    options = [w for name, path in files.items() for w in (f"--{name}", str(path))]
    return [*options, *map(str, more)]


def tensors(folder, name):
    return torch.load(folder / "out" / name, weights_only=True)


def test_select_and_cut(exp, tmp_path, capsys):
    select.main(words(exp, tmp_path, CONF))
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0.3 <= told["reached"] < 0.32
    record = json.loads((tmp_path / "out/structure.json").read_text())["provenance"]
    assert record["method"] == "obs" and len(record["rounds"]) == 2
    assert record["rounds"][1]["budget"]["sparsity"] == 0.3
    assert set(record["rounds"][0]) == {"budget", "power", "error", "loss"}
    cut.main(
        ["--model_config", str(exp / "config.yaml")]
        + ["--model_file", str(exp / "model.pth")]
        + ["--select_dir", str(tmp_path / "out"), "--output_dir", str(tmp_path / "cut")]
    )
    (file,) = (tmp_path / "cut").glob("*.pth")
    small, _ = load_model(tmp_path / "cut/config.yaml", file)
    kept = Structure.load(tmp_path / "out/structure.json")
    assert cost(small.encoder).params == cost(kept).params
    weights = tensors(tmp_path, "weights.pth")
    dense = load_model(exp / "config.yaml", exp / "model.pth")[0].state_dict()
    changed = {n for n, t in weights.items() if not torch.equal(t, dense[n])}
    assert changed and all(
        ".w_2." in n or ".linear_out." in n or ".embed." in n for n in changed
    )


def test_a_folder_of_audio_and_the_same_seed(exp, tmp_path):
    """Audio that the configuration does not name is found, and copied nowhere."""
    audio = tmp_path / "audio"
    audio.mkdir()
    for path in sorted((exp / "data").glob("train*.wav"))[:6]:
        (audio / path.name).write_bytes(path.read_bytes())
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        select.main(words(exp, folder, CONF, "--calibration", audio))
        assert (folder / "out/calibration/wav.scp").is_file()
        found.append([tensors(folder, file) for file in ("masks.pth", "weights.pth")])
    for first, second in zip(*found):
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert {path.suffix for path in audio.iterdir()} == {".wav"}


@pytest.mark.parametrize(
    "obs_conf, text",
    [
        ({"num_utt": 4}, r"obs_conf: .*'num_utt' \(did you mean 'num_utts'"),
        ({"rounds": [0.5, 0.3]}, r"rounds \[0.5, 0.3\] must be rising shares"),
        ({"rounds": [0.0]}, "must be rising shares"),
        ({"num_utts": 0}, "num_utts is 0, must be above 0"),
        ({"powers": []}, "must be numbers from 0 to 1"),
        ({"damping": 0.0}, "damping is 0.0, must be above 0"),
        ({"labels": "yes"}, "labels"),
    ],
)
def test_refused_configurations(exp, tmp_path, obs_conf, text):
    with pytest.raises(UserError, match=text):
        select.main(words(exp, tmp_path, {**CONF, "obs_conf": obs_conf}))
    assert not (tmp_path / "out/masks.pth").exists()


def test_refused_data(exp, tmp_path):
    labels = {**CONF, "obs_conf": {"labels": True}}
    (tmp_path / "empty").mkdir()
    one = exp / "data" / "train0.wav"
    for what, conf, text in (
        (tmp_path / "none", CONF, "--calibration .*none: no such file"),
        (tmp_path / "empty", CONF, "has neither wav.scp nor a file of audio"),
        (one, labels, "labels: true needs transcripts, and .*train0.wav has none"),
    ):
        with pytest.raises(UserError, match=text):
            select.main(words(exp, tmp_path, conf, "--calibration", what))
    far = {**CONF, "budget": {"kind": "params", "sparsity": 0.999}}
    with pytest.raises(UserError, match="cannot be reached; at most"):
        select.main(words(exp, tmp_path, far))
