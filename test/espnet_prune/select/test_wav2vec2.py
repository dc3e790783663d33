# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every selector works on encoders of raw speech, and so do the commands."""

import json

import pytest
import torch

from espnet_prune import attach_gates, cost, cut, unit_graph
from espnet_prune.models import build_model, load_model
from espnet_prune.select.budget import UNIT_KINDS, Budget
from espnet_prune.select.magnitude import magnitude
from espnet_prune.select.projection import project
from espnet_prune.utils import read_json, read_yaml, write_yaml
from test.espnet_prune.deep import CONFIG
from test.espnet_prune.encoder_zoo import SPEECH, build_speech, randomise

LAYERS = [[24, 10, 5], [24, 8, 8], [24, 8, 8]]
RAW = dict(frontend=None, frontend_conf={}, input_size=1, normalize=None)


def larger(variant):
    return build_speech(variant, conv_layers=LAYERS, linear_units=64)


@pytest.mark.parametrize("variant", ["base", "wavlm_large"])
@pytest.mark.parametrize("kind,tolerance", [("params", 0.01), ("macs", 0.04)])
def test_projection_and_magnitude_meet_the_budget(variant, kind, tolerance):
    encoder = larger(variant)
    graph = unit_graph(encoder)
    generator = torch.Generator().manual_seed(0)
    scores = {u.name: torch.randn(u.size, generator=generator) for u in graph}
    for sparsity in (0.3, 0.6):
        budget = Budget.of(kind, sparsity, 400)
        found = project(graph, scores, budget), magnitude(encoder, graph, budget)
        for masks in found:
            structure = graph.structure(masks)
            full, kept = (getattr(cost(s, 400), kind) for s in (graph.dense, structure))
            assert (1 - sparsity) * (1 - tolerance) <= kept / full <= 1 - sparsity


@pytest.mark.parametrize("variant", ["large", "wavlm"])
def test_gates(variant):
    encoder = larger(variant)
    budget = {"kind": "params", "sparsity": 0.5, "frames": 200}
    gates = attach_gates(encoder, budget=budget, ramp_steps=70)
    kinds = {gates.graph[name].kind for name in gates.names}
    assert "wave_channel" in kinds <= set(UNIT_KINDS)
    gates.sparsity().backward()
    assert (gates.theta.grad < 0).all()  # opening a gate lowers the sparsity
    optimizer = torch.optim.Adam(gates.parameters(), lr=gates.gate_lr)
    wave, lengths = torch.randn(2, 7000), torch.tensor([7000, 6000])
    encoder.train()
    for step in range(100):
        gates.train_step_begin()
        loss = gates.regulariser()[0]
        if step % 10 == 0:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = encoder(wave, lengths)[0]
            loss = loss + 1e-3 * out.float().square().mean()
        values = torch.cat(list(gates.hooks.values.values()))
        optimizer.zero_grad()
        (loss - 0.5 * values.mean()).backward()
        assert torch.isfinite(gates.theta.grad).all()
        optimizer.step()
        gates.after_step()
    encoder.eval()
    structure = gates.structure()
    small = cut(encoder, structure, gates)
    assert sum(p.numel() for p in small.parameters()) == cost(structure).params
    assert 0.46 <= cost(structure).params / cost(encoder).params <= 0.5
    with torch.no_grad():
        expected, got = encoder(wave, lengths)[0], small(wave, lengths)[0]
    for row, length in enumerate(small(wave, lengths)[1].tolist()):
        assert torch.allclose(expected[row, :length], got[row, :length], atol=1e-5)


@pytest.mark.parametrize("variant", ["large", "wavlm"])
def test_commands(variant, tmp_path, capsys):
    """select by magnitude, cut, verify, cost: from a directory, with weights gone."""
    from espnet_prune.bin import cost as cost_command
    from espnet_prune.bin import cut as cut_command
    from espnet_prune.bin import select, verify

    conf = dict(SPEECH[variant], conv_layers=LAYERS, weights="gone")
    config = {**CONFIG, **RAW, "encoder": "pruned_wav2vec2", "encoder_conf": conf}
    torch.manual_seed(0)
    model = build_model(config)
    randomise(model.encoder)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    write_yaml(config, tmp_path / "config.yaml")
    write_yaml(
        {"method": "magnitude", "budget": {"kind": "macs", "sparsity": 0.5}},
        tmp_path / "select.yaml",
    )
    dense = ["--model_config", str(tmp_path / "config.yaml")]
    both = [*dense, "--model_file", str(tmp_path / "model.pth")]
    chosen, small = str(tmp_path / "select"), tmp_path / "cut"
    select.main(
        [*both, "--config", str(tmp_path / "select.yaml"), "--output_dir", chosen]
    )
    cut_command.main(
        [*both, "--select_dir", chosen, "--output_dir", str(small), "--trials", "3"]
    )
    written = read_yaml(small / "config.yaml")["encoder_conf"]
    assert "weights" not in written
    assert ("remaining_heads" in written["structure"]) == (variant == "wavlm")
    assert read_json(small / "verify.json")["max_abs_diff"] <= 1e-5
    loaded, _ = load_model(small / "config.yaml", small / "model.pth")
    assert (
        cost(loaded.encoder).params == read_json(small / "cost.json")["encoder_params"]
    )
    with torch.no_grad():
        wave, lengths = torch.randn(1, 8000), torch.tensor([8000])
        assert loaded.encode(wave, lengths)[0].shape == (1, 24, 16)
    cut_pair = ["--model_config", str(small / "config.yaml")]
    cut_pair += ["--model_file", str(small / "model.pth")]
    capsys.readouterr()
    verify.main([*cut_pair, "--structures", "2", "--trials", "1", "--keep", "0.8"])
    assert json.loads(capsys.readouterr().out)["params_match"]
    cost_command.main([*dense, "--frames", "100", "--json"])
    kinds = json.loads(capsys.readouterr().out)["lengths"][0]["kinds"]
    assert {"wave_channel", "head", "ffn_unit"} <= {row["kind"] for row in kinds}
