# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What every selector must do, on whatever family of encoders."""

import torch

from espnet_prune import attach_gates, cost, cut, unit_graph
from espnet_prune.select.budget import UNIT_KINDS, Budget
from espnet_prune.select.projection import project
from espnet_prune.select.scores import by_quantiles
from espnet_prune.units import unit_norms


def check_projection_and_magnitude(encoder, kind, tolerance):
    """Random scores and norms both meet budgets, and use them up."""
    graph = unit_graph(encoder)
    generator = torch.Generator().manual_seed(0)
    scores = {u.name: torch.randn(u.size, generator=generator) for u in graph}
    for sparsity in (0.3, 0.6):
        budget = Budget.of(kind, sparsity, 400)
        found = project(graph, scores, budget), by_quantiles(
            unit_norms(encoder, graph), graph, budget
        )
        for masks in found:
            structure = graph.structure(masks)
            full, kept = (getattr(cost(s, 400), kind) for s in (graph.dense, structure))
            assert (1 - sparsity) * (1 - tolerance) <= kept / full <= 1 - sparsity


def train_and_cut(encoder, x, lengths, kind, steps, ramp_steps, half=True):
    """Train gates to half of the parameters and cut; `kind` must be among the units.

    Returns:
        The cut encoder, and the outputs of the masked and of the cut one.
    """
    budget = {"kind": "params", "sparsity": 0.5, "frames": 200}
    gates = attach_gates(encoder, budget=budget, ramp_steps=ramp_steps)
    kinds = {gates.graph[name].kind for name in gates.names}
    assert kind in kinds <= set(UNIT_KINDS)
    gates.sparsity().backward()
    assert (gates.theta.grad < 0).all()  # opening a gate lowers the sparsity
    optimizer = torch.optim.Adam(gates.parameters(), lr=gates.gate_lr)
    encoder.train()
    for step in range(steps):
        gates.train_step_begin()
        loss = gates.regulariser()[0]
        if step % 10 == 0:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                out = _output(encoder, x, lengths)
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
        return small, _output(encoder, x, lengths), _output(small, x, lengths)


def _output(encoder, x, lengths):
    out = encoder(x, lengths)[0]
    return out[0] if isinstance(out, tuple) else out
