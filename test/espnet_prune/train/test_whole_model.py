# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Encoder and decoder of one model, selected together and cut together."""

import json

import pytest
import torch

from espnet_prune import Structure, cost
from espnet_prune.models import load_model
from espnet_prune.utils import read_json, read_yaml, write_yaml

pytest.importorskip("espnet_prune.families.decoder")

L0 = {"ramp_steps": 20, "gate_lr": 0.65, "log_interval": 10}
TRAIN = {"max_epoch": 1, "num_iters_per_epoch": 40, "optim": "adam"}
KEYS = ("batch_type", "batch_size", "num_workers", "use_matplotlib", "scheduler")
DISTIL = {"layers": 2, "projections": True, "block_input": True}
MODEL = {"of": "model", "kind": "params", "sparsity": 0.4}
BOTH = [{"sparsity": 0.3}, {"of": "decoder", "kind": "params", "sparsity": 0.5}]


def numel(module):
    return sum(p.numel() for p in module.parameters())


def pruned(tiny, dense, name, conf, more=()):
    """Select and cut; return the dense model, the written one, and the directory."""
    from espnet_prune.bin import cut, select

    folder = tiny.root / name
    folder.mkdir()
    write_yaml(conf, folder / "select.yaml")
    pair = [*("--model_config", str(dense / "config.yaml"))]
    pair += ["--model_file", str(dense / "valid.acc.ave.pth")]
    out = ["--config", str(folder / "select.yaml"), "--output_dir", f"{folder}/select"]
    select.main([*pair, *out, *more])
    select_dir = ["--select_dir", f"{folder}/select", "--output_dir", f"{folder}/cut"]
    cut.main([*pair, *select_dir, "--trials", "4", "--refresh_batches", "2"])
    before = load_model(dense / "config.yaml", dense / "valid.acc.ave.pth")[0]
    small, config = load_model(folder / "cut/config.yaml", folder / "cut/model.pth")
    assert read_json(folder / "cut/verify.json")["equal"]
    assert Structure.dense(small).own.keys() == {"encoder", "decoder"}
    return before, small, config, folder


@pytest.mark.parametrize("budget", [MODEL, BOTH], ids=["model", "both"])
def test_magnitude(tiny, dense, train, budget):
    conf = {"method": "magnitude", "budget": budget}
    name = f"magnitude_{type(budget).__name__}"
    before, small, config, folder = pruned(tiny, dense, name, conf)
    if budget is MODEL:
        assert 0.57 < numel(small) / numel(before) <= 0.6
    else:
        assert 0.67 < numel(small.encoder) / numel(before.encoder) <= 0.7
        assert 0.45 < numel(small.decoder) / numel(before.decoder) <= 0.5
    assert config["decoder_conf"] != read_yaml(dense / "config.yaml")["decoder_conf"]
    stored = Structure.load(folder / "select/structure.json")
    assert cost(stored, 1000, "model").params == numel(small)


def test_l0_with_a_teacher(tiny, dense, train):
    """Gates over both stacks of one model, in one training."""
    training = {**{key: tiny.config[key] for key in KEYS}, **TRAIN}
    conf = {"method": "l0", "budget": MODEL, "l0_conf": L0, "train_conf": training}
    conf["distill_conf"] = DISTIL
    before, small, _, folder = pruned(tiny, dense, "l0_whole", conf, tiny.options)
    assert 0.57 < numel(small) / numel(before) <= 0.6
    assert numel(small.decoder) < numel(before.decoder)
    gates = torch.load(folder / "select/train/gates.pth", weights_only=True)
    masks = torch.load(folder / "select/masks.pth", weights_only=True)
    assert any(name.startswith("decoder.") for name in masks)
    assert len(gates["theta"]) == sum(len(mask) for mask in masks.values())
    record = read_json(folder / "select/structure.json")["provenance"]
    assert record["budget"]["of"] == "model"
    assert record["expected"] == pytest.approx(0.4, abs=0.02)
    lines = (folder / "select/select.jsonl").read_text().splitlines()
    assert {"kd_layer", "kd_att", "loss"} <= json.loads(lines[-1]).keys()
