# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch

from espnet_prune import Structure, cost, unit_graph
from espnet_prune.measure.prices import kinds
from espnet_prune.select.budget import UNIT_KINDS, Budget
from espnet_prune.select.projection import project
from espnet_prune.select.scores import by_quantiles
from espnet_prune.units import unit_norms
from test.espnet_prune.encoder_zoo import LATEST, randomise, stock_class
from test.espnet_prune.tables import table_of


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    conf = dict(LATEST, output_size=64, linear_units=256, num_blocks=6)
    return randomise(stock_class("conformer")(80, **conf))


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.7, 0.85])
@pytest.mark.parametrize("seed", [0, 1])
def test_projection_meets_the_budget(encoder, kind, sparsity, seed):
    graph = unit_graph(encoder)
    graph.dense = table_of(graph.dense, 400).timed(graph.dense)
    generator = torch.Generator().manual_seed(seed)
    scores = {u.name: torch.randn(u.size, generator=generator) for u in graph}
    budget = Budget.of(kind, sparsity, 400)
    structure = graph.structure(project(graph, scores, budget))
    price = kinds()[kind]
    full, kept = (price.of(cost(s, 400)) for s in (graph.dense, structure))
    target = (1 - sparsity) * full
    assert target * (1 - price.tolerance) <= kept <= target


def test_bytes_are_those_of_the_checkpoint(encoder, tmp_path):
    """All but the names of the tensors and what holds them together."""
    torch.save(encoder.state_dict(), tmp_path / "model.pth")
    size = (tmp_path / "model.pth").stat().st_size
    found = kinds()["bytes"].of(cost(encoder))
    assert 0.9 * size < found < size
    budget = Budget.from_conf({"kind": "bytes", "front": 0.3})
    scores = {u.name: torch.ones(u.size) for u in unit_graph(encoder)}
    structure = unit_graph(encoder).structure(
        project(unit_graph(encoder), scores, budget)
    )
    assert budget.reached(Structure.dense(encoder), structure)[0] >= 0.3
    assert budget.names == ["front_bytes"]


def test_scores_decide(encoder):
    graph = unit_graph(encoder)
    scores = {u.name: torch.ones(u.size) for u in graph}
    low = "encoders.2.feed_forward.units"
    scores[low][10:200] = 0.0
    masks = project(graph, scores, Budget.of("params", 0.02, 400))
    assert 0 < int((masks[low] == 0).sum()) <= 190
    assert masks[low][:10].all() and masks[low][200:].all()
    assert all(mask.all() for name, mask in masks.items() if name != low)


def test_a_closed_module_goes_first_and_whole(encoder):
    graph = unit_graph(encoder)
    scores = {u.name: torch.ones(u.size) for u in graph}
    scores["encoders.1.feed_forward"] = torch.tensor([-3.0])
    share = 1.1 * 2 * 64 * 256 / cost(graph.dense).params
    masks = project(graph, scores, Budget.of("params", share, 400))
    assert not masks["encoders.1.feed_forward"].any()
    assert not masks["encoders.1.feed_forward.units"].any()


def test_widths_are_multiples(encoder):
    graph = unit_graph(encoder)
    generator = torch.Generator().manual_seed(0)
    scores = {u.name: torch.randn(u.size, generator=generator) for u in graph}
    masks = project(graph, scores, Budget.of("params", 0.5, 400), round_to=8)
    structure = graph.structure(masks)
    for field in ("linear_units", "macaron_linear_units", "conv_channels"):
        assert all(n % 8 == 0 for n in structure["encoder"].blocks[field])
    kept = cost(structure).params / cost(graph.dense).params
    assert kept == pytest.approx(0.5, rel=0.005)


@pytest.mark.parametrize("kind", ["params", "macs"])
def test_magnitude_keeps_the_largest(encoder, kind):
    graph = unit_graph(encoder)
    name = "encoders.0.feed_forward.units"
    with torch.no_grad():
        encoder.encoders[0].feed_forward.w_1.weight[7] *= 100
        encoder.encoders[0].feed_forward.w_1.weight[8] *= 0
        encoder.encoders[0].feed_forward.w_1.bias[8] *= 0
        encoder.encoders[0].feed_forward.w_2.weight[:, 8] *= 0
    masks = by_quantiles(
        unit_norms(encoder, graph), graph, Budget.of(kind, 0.6, 400), UNIT_KINDS
    )
    assert masks[name][7] == 1 and masks[name][8] == 0
    structure = graph.structure(masks)
    full, kept = (getattr(cost(s, 400), kind) for s in (graph.dense, structure))
    assert kept / full == pytest.approx(0.4, rel=0.01)
    # every kind loses a like share
    blocks = structure["encoder"].blocks
    units = sum(blocks["linear_units"] + blocks["macaron_linear_units"])
    channels = sum(blocks["conv_channels"])
    assert units / (12 * 256) == pytest.approx(channels / (6 * 64), abs=0.02)
