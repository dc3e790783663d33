# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One order for the units of all vectors: the least error for what it saves."""

import pytest
import torch

from espnet_prune import unit_graph
from espnet_prune.select.budget import Budget, Pricing
from espnet_prune.select.obs import allocate
from espnet_prune.select.obs.allocate import removal_ranks
from espnet_prune.select.obs.removal import Curve
from test.espnet_prune import encoder_zoo

BOTH = [{"kind": "params", "sparsity": 0.5}, {"kind": "macs", "sparsity": 0.4}]


def made(variant, budget=BOTH, seed=0):
    """Return the graph of an encoder, its prices, and curves that were drawn."""
    graph = unit_graph(encoder_zoo.build(variant))
    random = torch.Generator().manual_seed(seed)
    curves = {}
    for unit in graph:
        if unit.kind != "module":
            steps = torch.rand(unit.size, generator=random)
            errors = [
                0.0,
                *(steps * torch.rand(1, generator=random)).cumsum(0).tolist(),
            ]
            order = torch.randperm(unit.size, generator=random).tolist()
            curves[unit.name] = Curve(order, errors)
    return graph, Pricing(graph, Budget.from_conf(budget)), curves


def removed_first(graph, ranks, curves):
    """Yield vectors as they lose a unit."""
    flat = [
        (float(rank), name, unit)
        for name in curves
        for unit, rank in enumerate(ranks[name])
    ]
    for _, name, unit in sorted(flat):
        yield name, unit


@pytest.mark.parametrize("variant", ["latest", "large", "e_branchformer_linear"])
def test_what_is_saved_is_counted_anew(variant, monkeypatch):
    """Where a vector has lost units, those whose savings depend on it are judged anew,
    so that it makes no difference to judge all of them.
    """
    graph, pricing, curves = made(variant)
    ranks = removal_ranks(graph, pricing, curves)
    monkeypatch.setattr(allocate._Bill, "neighbours", lambda self, name: list(curves))
    everything = removal_ranks(graph, pricing, curves)
    assert all(torch.equal(ranks[name], everything[name]) for name in curves)


@pytest.mark.parametrize("variant", ["latest", "large", "branchformer"])
def test_savings_are_those_of_the_prices(variant):
    graph, pricing, curves = made(variant)
    bill = allocate._Bill(pricing, list(curves))
    counts = {unit.name: unit.size for unit in graph}
    for name, _ in removed_first(graph, removal_ranks(graph, pricing, curves), curves):
        if counts[name] - 1 < graph[name].minimum:
            continue
        counts[name] -= 1
        bill.remove(name, counts[name])
        assert bill.costs == pytest.approx(pricing.costs(counts))


def test_units_go_in_the_order_of_their_vector():
    graph, pricing, curves = made("latest")
    ranks = removal_ranks(graph, pricing, curves)
    for name, curve in curves.items():
        assert sorted(curve.order, key=lambda u: float(ranks[name][u])) == curve.order
    every = torch.cat(list(ranks.values()))
    assert sorted(every.tolist()) == list(range(len(every)))


def test_a_module_goes_at_once_where_that_is_worth_more():
    """Once most of the error is made, nobody keeps the rest."""
    graph, pricing, curves = made("latest")
    name = "encoders.0.feed_forward.units"
    order = curves[name].order
    early, late = [0.0, *[0.5] * 24], [
        0.0,
        *(0.5 * (i / 24) ** 4 for i in range(1, 25)),
    ]
    spread = []
    for errors in (early, late):
        curves[name] = Curve(order, errors)
        ranks = removal_ranks(graph, pricing, curves)[name]
        spread.append(float(ranks.max() - ranks.min()))
    assert spread[0] == 23 < spread[1]


def test_what_nobody_counts_does_not_go_early():
    """A vector that saves a lot of what is asked for goes before one that does not."""
    graph, _, curves = made("latest")
    flat = {n: Curve(c.order, list(range(len(c.errors)))) for n, c in curves.items()}
    first = {}
    for kind in ("params", "macs"):
        pricing = Pricing(graph, Budget.of(kind, 0.5))
        ranks = removal_ranks(graph, pricing, flat)
        first[kind] = float(ranks["embed.conv.0.channels"].min())
    assert first["macs"] < first["params"]
