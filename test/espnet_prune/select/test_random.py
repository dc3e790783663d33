# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Method random: within the budget, by the seed and by nothing else."""

import pytest
import torch

from espnet_prune import cost
from espnet_prune.bin import select
from espnet_prune.models import load_model
from espnet_prune.structure import Structure
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and the YAML of the selection."""
    folder = tmp_path_factory.mktemp("random")
    make_exp(folder, make_model(CONFIG))
    budget = {"kind": "params", "sparsity": 0.4}
    write_yaml({"method": "random", "budget": budget}, folder / "random.yaml")
    return folder


def drawn(folder, name, seed):
    """Select; returns masks and structure."""
    out = folder / name
    select.main(
        ["--config", str(folder / "random.yaml"), "--seed", str(seed)]
        + ["--model_config", str(folder / "config.yaml"), "--output_dir", str(out)]
        + ["--model_file", str(folder / "model.pth")]
    )
    masks = torch.load(out / "masks.pth", weights_only=True)
    return masks, Structure.load(out / "structure.json")


def test_the_seed_decides_and_the_budget_holds(folder):
    masks, structure = drawn(folder, "a", 1)
    again, _ = drawn(folder, "b", 1)
    other, _ = drawn(folder, "c", 2)
    assert all(torch.equal(mask, again[name]) for name, mask in masks.items())
    assert any(not torch.equal(mask, other[name]) for name, mask in masks.items())
    dense = load_model(folder / "config.yaml", folder / "model.pth")[0].encoder
    assert 0.59 < cost(structure).params / cost(dense).params <= 0.6


def test_whatever_the_weights_are(folder):
    """Another model of the same shape loses the same units."""
    masks, _ = drawn(folder, "first", 3)
    model = make_model(CONFIG)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(torch.rand_like(weight))
    other = folder / "other"
    make_exp(other, model)
    write_yaml(
        {"method": "random", "budget": {"kind": "params", "sparsity": 0.4}},
        other / "random.yaml",
    )
    found, _ = drawn(other, "first", 3)
    assert all(torch.equal(mask, found[name]) for name, mask in masks.items())
