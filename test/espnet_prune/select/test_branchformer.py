# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every selector works on blocks with two branches."""

import pytest
import torch

from espnet_prune import attach_gates, cost, cut, unit_graph
from espnet_prune.select.budget import UNIT_KINDS, Budget
from espnet_prune.select.magnitude import magnitude
from espnet_prune.select.projection import project
from test.espnet_prune.encoder_zoo import MEL, VARIANTS, randomise, stock_class

SOME = ["e_branchformer", "branchformer", "branchformer_learned"]


def larger(variant, blocks=3):
    family, conf = VARIANTS[variant]
    torch.manual_seed(0)
    wide = dict(output_size=32, cgmlp_linear_units=192, num_blocks=blocks)
    return randomise(stock_class(family)(MEL, **{**conf, **wide}))


@pytest.mark.parametrize("variant", SOME)
@pytest.mark.parametrize("kind,tolerance", [("params", 0.01), ("macs", 0.02)])
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


@pytest.mark.parametrize("variant", SOME)
def test_gates(variant):
    encoder = larger(variant, blocks=2)
    budget = {"kind": "params", "sparsity": 0.5, "frames": 200}
    gates = attach_gates(encoder, budget=budget, ramp_steps=100)
    kinds = {gates.graph[name].kind for name in gates.names}
    assert "cgmlp_channel" in kinds <= set(UNIT_KINDS)
    gates.sparsity().backward()
    assert (gates.theta.grad < 0).all()  # opening a gate lowers the sparsity
    optimizer = torch.optim.Adam(gates.parameters(), lr=gates.gate_lr)
    x, lengths = torch.randn(2, 50, MEL), torch.tensor([50, 33])
    encoder.train()
    # ESPnet's learned average cannot run in bfloat16
    half = variant != "branchformer_learned"
    for step in range(150):
        gates.train_step_begin()
        loss = gates.regulariser()[0]
        if step % 10 == 0:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                out = encoder(x, lengths)[0]
            out = out[0] if isinstance(out, tuple) else out
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
    kept = cost(structure).params / cost(encoder).params
    assert sum(p.numel() for p in small.parameters()) == cost(structure).params
    assert 0.46 <= kept <= 0.5
    with torch.no_grad():
        expected, got = encoder(x, lengths)[0], small(x, lengths)[0]
    if isinstance(expected, tuple):
        expected, got = expected[0], got[0]
    assert torch.allclose(expected, got, atol=1e-5)
    assert not [key for key in small.state_dict() if "gate" in key or "mask" in key]
