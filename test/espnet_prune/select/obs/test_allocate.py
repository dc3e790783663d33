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
    drawn = [made(variant, seed=seed) for seed in range(8)]
    found = [removal_ranks(*given) for given in drawn]
    monkeypatch.setattr(
        allocate._Bill, "neighbours", lambda self, name: list(self.modules)
    )
    for given, ranks in zip(drawn, found):
        everything = removal_ranks(*given)
        assert all(torch.equal(rank, everything[name]) for name, rank in ranks.items())


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
    """Where the first units cost most, those behind them go along."""
    graph, pricing, curves = made("latest")
    name = "encoders.0.feed_forward.units"
    early = [0.0, *(0.5 + 1e-4 * i for i in range(24))]
    curves[name] = Curve(curves[name].order, early)
    ranks = removal_ranks(graph, pricing, curves)
    last = max(float(rank.max()) for rank in ranks.values())
    assert float(ranks[name].max()) < 0.5 * last
    assert float(ranks[name].max() - ranks[name].min()) == 23


@pytest.mark.parametrize("unmet", [[0], [1], [0, 1]])
def test_a_step_is_worth_what_its_targets_save(unmet):
    """A module saves all that goes with it; targets that are met do not count."""
    graph, pricing, curves = made("latest")
    name = "encoders.0.feed_forward.units"
    straight = Curve(curves[name].order, [float(i) for i in range(25)])
    bill = allocate._Bill(pricing, list(curves))
    slope, until = allocate._best_step(bill, graph, straight, name, 0, unmet)
    left = pricing.costs({name: 0})
    saved = [(pricing.full[i] - left[i]) / pricing.limits[i] for i in range(len(left))]
    assert slope == pytest.approx(24 / sum(saved[i] for i in unmet))
    assert until == 24 or unmet == [1]  # without parameters, nothing more goes along


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
