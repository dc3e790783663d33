# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Models that were cut by an earlier commit load, price and decode as they did then.

They stand in golden/, one per family; golden/make.py says how they were made.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet_prune import Structure, UserError, cost
from espnet_prune.bin import cut
from espnet_prune.measure.duration import frames_of
from espnet_prune.models import build_model, load_model
from espnet_prune.utils import read_json, read_yaml
from test.espnet_prune.golden.make import HERE, MODELS, SECONDS, dense_state, hears

PARTS = ("cnn", "transformer", "encoder")
BEFORE = read_json(HERE / "structures.json")


def measured(name):
    return read_json(HERE / name / "measured.json")


def load(name):
    return load_model(HERE / name / "config.yaml", HERE / name / "model.pth")


def check_prices(priced, name):
    """Compare what is priced now with what was measured then."""
    then, config = measured(name), read_yaml(HERE / name / "config.yaml")
    for seconds in SECONDS:
        frames = frames_of(config, seconds)
        for part in PARTS:
            found = cost(priced, frames, part)
            wanted = then[f"{part}_{seconds}s"]
            assert (found.params, found.macs) == (wanted["params"], wanted["macs"])
    assert cost(priced).params == then["params"]


@pytest.mark.parametrize("name", MODELS)
def test_the_model_loads_prices_and_decodes(name):
    (model, config), then = load(name), measured(name)
    assert config["encoder"].startswith("pruned_") == (name != "depth")
    assert sum(p.numel() for p in model.parameters()) == then["total_params"]
    assert sum(p.numel() for p in model.encoder.parameters()) == then["params"]
    check_prices(model.encoder, name)
    torch.set_num_threads(1)  # as then
    output, tokens = hears(model)
    np.testing.assert_allclose(output, np.load(HERE / name / "output.npy"), atol=1e-5)
    assert tokens == then["tokens"] and len(tokens) > 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("path", ["structure.json", "select/structure.json"])
def test_its_structure_json_is_read(name, path):
    structure, then = Structure.load(HERE / name / path), measured(name)
    check_prices(structure, name)
    heads = then["widths"].pop("remaining_heads", None)
    widths = structure.widths()
    assert widths.pop("remaining_heads", heads) == heads and widths == then["widths"]


@pytest.mark.parametrize("name", BEFORE)
def test_structures_of_before_are_priced_without_a_model(name):
    data, prices = BEFORE[name]["structure"], BEFORE[name]["prices"]
    structure = Structure.from_dict(data)
    for part, wanted in zip(PARTS, prices):
        costs = [cost(structure, frames, part) for frames in (1000, 3000)]
        found = [{"params": p.params, "macs": p.macs} for p in costs]
        assert found == wanted, part
    widths, own = {**data, "dims": None}, structure.widths()
    own.pop("remaining_heads", None)  # of heads that all stay
    assert {**own, "dims": None} == widths
    again = Structure.from_dict(json.loads(json.dumps(structure.to_dict())))
    assert again == structure
    for block in own["kept_blocks"][1:]:
        less = structure.with_widths({"kept_blocks": [block]})
        assert cost(less).params < cost(structure).params


@pytest.mark.parametrize(
    "change, words",
    [
        ({"kept_blocks": None}, "kept_blocks is None"),
        ({"kept_blocks": [1, 0]}, "rise strictly"),
        ({"linear_units": [1]}, "linear_units has 1 entries for 2"),
        ({"linear_units": [1, -1]}, "linear_units.1. is -1"),
        ({"linear_unit": [1, 1]}, "unknown key 'linear_unit'"),
        ({"cgmlp_units": [1, 1]}, "unknown key 'cgmlp_units'"),
        ({"dims": None}, "dims: key 'encoder' is missing"),
        ({"encoder": "conformr"}, "unknown key 'pruned_conformr'"),
        ({"attention": "hard"}, "dims are those of no encoder"),
        ({"convs": [[9, 9]]}, "no front end"),
        ({"head_dim": 99}, "dims are those of no encoder"),
        ({"head_dim": -4}, "head_dim is -4, must be 0 or more"),
        ({"output_size": 0}, "dims are those of no encoder"),
    ],
)
def test_bad_structures_of_before_are_refused(change, words):
    data = json.loads(json.dumps(BEFORE["latest"]["structure"]))
    for key, value in change.items():
        (data["dims"] if key in data["dims"] else data)[key] = value
    with pytest.raises(UserError, match=words):
        Structure.from_dict(data)


@pytest.mark.parametrize("name", MODELS)
def test_its_selection_cuts_to_the_same_weights(name, tmp_path):
    torch.save(dense_state(name, dense(name)), tmp_path / "dense.pth")
    shutil.copytree(HERE / name / "select", tmp_path / "select")
    data = read_json(tmp_path / "select/structure.json")
    # the same weights, in a file that another torch has written
    del data["provenance"]["dense_sha256"]
    (tmp_path / "select/structure.json").write_text(json.dumps(data))
    options = {
        "model_config": HERE / name / "dense.yaml",
        "model_file": tmp_path / "dense.pth",
        "select_dir": tmp_path / "select",
        "output_dir": tmp_path / "cut",
        "refresh_batches": 0,
        "trials": 1,
    }
    cut.main([str(word) for key in options for word in (f"--{key}", options[key])])
    own, then = (
        torch.load(folder / "model.pth", weights_only=True)
        for folder in (tmp_path / "cut", HERE / name)
    )
    assert list(own) == list(then)
    for key, value in then.items():
        assert torch.allclose(own[key], value, atol=1e-6), key
    now, before = (
        read_yaml(p / "config.yaml") for p in (tmp_path / "cut", HERE / name)
    )
    for key in ("encoder", "encoder_conf"):
        assert now[key] == before[key]


def dense(name):
    return build_model(read_yaml(HERE / name / "dense.yaml"))


def test_they_are_small():
    assert sum(p.stat().st_size for p in Path(HERE).rglob("*.*")) < 400_000
