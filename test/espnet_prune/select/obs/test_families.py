# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The path of every family, and of whole models: what goes down it stays a model.

The suite takes few sizes of every variant; ESPNET_PRUNE_LONG=1 takes many, on paths of
five rounds, and writes test/results/obs_paths.json.
"""

import os
from pathlib import Path

import pytest
import torch

from espnet_prune.utils import read_json, write_json
from test.espnet_prune import encoder_zoo
from test.espnet_prune.decoders.test_search import HYBRID
from test.espnet_prune.deep import make_model
from test.espnet_prune.select.obs.stubs import (
    TRANSDUCER,
    Speech,
    check_path,
    cut_by,
    gone,
    plan_of,
    variant_path,
)

LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
RESULT = Path(__file__).resolve().parents[3] / "results" / "obs_paths.json"
ROUNDS = [0.1, 0.2, 0.3, 0.4] if LONG else [0.25, 0.4]
SIZES = [0.02 * i for i in range(1, 26)] if LONG else [0.2, 0.45, 0.5]
BUDGETS = {
    "decoder": {"of": "decoder", "kind": "params", "sparsity": 0.5},
    "model": {"of": "model", "kind": "macs", "sparsity": 0.5},
    "parts": {"kind": "macs", "front": 0.4, "blocks": 0.5},
    "list": [
        {"kind": "params", "sparsity": 0.5},
        {"of": "decoder", "kind": "params", "sparsity": 0.3},
    ],
}


@pytest.mark.parametrize("variant", encoder_zoo.ALL)
def test_every_encoder(variant):
    path = variant_path(variant, 0.5, ROUNDS)
    assert len(path.rounds) == len(ROUNDS) + 1
    found = check_path(path, SIZES)
    state = path.plan.root.state_dict()
    # models on the way share its tensors
    assert all(torch.equal(tensor, path.before[name]) for name, tensor in state.items())
    if LONG:
        worst = max(cut_by(path, s)[1]["relative_diff"] for s in found)
        record = read_json(RESULT) if RESULT.exists() else {}
        record[variant] = {"sizes": len(found), "largest_relative_diff": worst}
        write_json(dict(sorted(record.items())), RESULT)


@pytest.mark.parametrize("name", BUDGETS)
def test_every_stack_of_a_model(name):
    plan = plan_of(make_model(HYBRID), BUDGETS[name], HYBRID)
    path = gone(plan, Speech(), [0.3])
    found = check_path(path, [0.2, 0.5])
    removed = {
        unit.stack
        for unit in path.graph
        if int(found[-1].masks[unit.name].sum()) < unit.size
    }
    wanted = {"decoder": {"decoder"}, "parts": {"encoder"}}
    assert removed == wanted.get(name, {"encoder", "decoder"})


def test_a_joint_network():
    budget = {"of": "joint", "kind": "params", "sparsity": 0.4}
    path = gone(plan_of(make_model(TRANSDUCER), budget, TRANSDUCER), Speech(), [0.2])
    (selection,) = check_path(path, [0.4])
    assert selection.structure["joint"].front["joint_space"] == [11]
