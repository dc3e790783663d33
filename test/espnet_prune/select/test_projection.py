# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every form of budget is met, and nothing more is removed than has to be."""

import pytest
import torch

from espnet_prune import unit_graph
from espnet_prune.measure.cost import PARTS
from espnet_prune.select.budget import (
    UNIT_KINDS,
    Budget,
    Pricing,
    loosely_met,
)
from espnet_prune.select.projection import implied, project
from espnet_prune.select.scores import by_quantiles
from espnet_prune.units import unit_norms
from test.espnet_prune.encoder_zoo import VARIANTS, stock_class

FORMS = [
    {"kind": "params", "sparsity": 0.5},
    {"kind": "macs", "sparsity": 0.6, "frames": 400},
    {"kind": "params", "cnn": 0.4, "transformer": 0.6},
    {"kind": "macs", "cnn": 0.6, "transformer": 0.4},
    [{"kind": "params", "sparsity": 0.5}, {"kind": "macs", "sparsity": 0.5}],
]
# a whole budget with one of a part, a part alone, three at once
MORE = [
    {"kind": "params", "transformer": 0.5},
    {"kind": "macs", "cnn": 0.7},
    [{"kind": "params", "sparsity": 0.5}, {"kind": "macs", "cnn": 0.3}],
    [{"kind": "params", "cnn": 0.3, "transformer": 0.3}, {"sparsity": 0.4}],
    [
        {"kind": "params", "sparsity": 0.3},
        {"kind": "macs", "frames": 100, "sparsity": 0.4},
        {"kind": "macs", "frames": 3000, "sparsity": 0.5},
    ],
]


def graph_of(variant, width=96, blocks=2):
    """Return the units of an encoder whose units cost less than the tolerance."""
    family, conf = VARIANTS[variant]
    wide = dict(output_size=width, num_blocks=blocks)
    for name, times in (("linear_units", 4), ("cgmlp_linear_units", 6)):
        if name in conf:
            wide[name] = times * width
    for name in ("cgmlp_weight", "stochastic_depth_rate"):
        if isinstance(conf.get(name), list):
            wide[name] = (conf[name] * blocks)[:blocks]
    with torch.device("meta"):
        return unit_graph(stock_class(family)(80, **{**conf, **wide}))


def random_scores(graph, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {u.name: torch.randn(u.size, generator=generator) for u in graph}


def check_met(graph, budget, masks, coarse=False):
    """All targets hold; in every part that has one, one is within its tolerance."""
    pricing = Pricing(graph, budget)
    counts = {name: int((mask != 0).sum()) for name, mask in masks.items()}
    costs = pricing.costs(counts)
    assert all(cost <= limit for cost, limit in zip(costs, pricing.limits))
    # the same from the structure alone, as the report says it
    reached = budget.reached(graph.dense, graph.structure(masks))
    shares = [1 - cost / full for cost, full in zip(costs, pricing.full)]
    assert reached == pytest.approx(shares, abs=1e-12)
    for part in PARTS:
        near = [
            cost >= (1 - target.price.tolerance) * limit
            for target, cost, limit in zip(budget, costs, pricing.limits)
            if target.covers(part)
        ]
        assert any(near) or not near or coarse
        if not near:  # a part without a target is left whole
            left = [n for n, own in pricing.parts.items() if own == part]
            assert all(masks[name].all() for name in left if name in masks)


def check_maximal(graph, budget, masks):
    """No removed unit could come back to a module that is open."""
    pricing = Pricing(graph, budget)
    counts = {name: int((mask != 0).sum()) for name, mask in masks.items()}
    for unit in graph:
        removed = unit.kind != "module" and counts[unit.name] < unit.size
        if removed and (unit.module is None or counts[unit.module]):
            costs = pricing.costs({**counts, unit.name: counts[unit.name] + 1})
            assert any(cost > limit for cost, limit in zip(costs, pricing.limits))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_family_and_form(variant):
    graph = graph_of(variant)
    has_cnn = bool(graph.dense["encoder"].front)
    for seed, conf in enumerate(FORMS):
        if not has_cnn and "cnn" in conf:
            conf = {"kind": conf["kind"], "transformer": conf["transformer"]}
        if (
            variant in ("branchformer_fast", "multiconv_mixed")
            and "transformer" in conf
        ):
            conf = {**conf, "transformer": 0.2}  # some modules have no units
        budget = Budget.from_conf(conf)
        masks = project(graph, random_scores(graph, seed), budget)
        # its only units are 8 heads: one is the best one can do
        check_met(graph, budget, masks, coarse=variant == "branchformer_no_cgmlp")
        check_maximal(graph, budget, masks)


@pytest.mark.parametrize("conf", MORE)
@pytest.mark.parametrize("seed", [0, 1])
def test_mixed_forms(conf, seed):
    graph = graph_of("latest")
    budget = Budget.from_conf(conf)
    masks = project(graph, random_scores(graph, seed), budget)
    check_met(graph, budget, masks)
    check_maximal(graph, budget, masks)


def test_parts_do_not_touch_each_other():
    graph = graph_of("latest")
    scores = random_scores(graph)
    alone = [project(graph, scores, Budget.from_conf({p: 0.5})) for p in PARTS]
    masks = project(graph, scores, Budget.from_conf({p: 0.5 for p in PARTS}))
    for unit in graph:
        own = alone[unit.field != "subsampling_channels"]
        assert torch.equal(masks[unit.name], own[unit.name])


@pytest.mark.parametrize("protected", [0, 1])
def test_a_coarse_front_end_is_traded_into_tolerance(protected):
    """One channel of the last convolution is 1 % of what stays of the front end."""
    graph = graph_of("latest", width=144, blocks=1)
    names = [unit.name for unit in graph.of_kinds(("subsampling_channel",))]
    scores = {name: value for name, value in random_scores(graph).items()}
    scores[names[protected]] += 100.0
    for conf in ({"cnn": 0.5}, {"cnn": 0.7}, {"kind": "macs", "cnn": 0.7}):
        budget = Budget.from_conf(conf)
        masks = project(graph, scores, budget)
        check_met(graph, budget, masks)
        kept, other = (int(masks[names[i]].sum()) for i in (protected, 1 - protected))
        assert kept > 1.5 * other  # scores still decide


@pytest.mark.parametrize("kinds", [("module",), ("head", "module"), ("ffn_unit",)])
def test_some_kinds_only(kinds):
    graph = graph_of("latest", blocks=6)
    scores = random_scores(graph)
    scores = {unit.name: scores[unit.name] for unit in graph.of_kinds(kinds)}
    budget = Budget.from_conf({"transformer": 0.2})
    masks = project(graph, scores, budget)
    (reached,) = budget.reached(graph.dense, graph.structure(masks))
    coarse = 0.07 if "ffn_unit" not in kinds else 0.004  # one module
    assert 0.2 <= reached <= 0.2 + coarse


def test_multiples_of_many():
    graph = graph_of("latest")
    budget = Budget.from_conf({"kind": "params", "cnn": 0.5, "transformer": 0.5})
    structure = graph.structure(project(graph, random_scores(graph), budget, 8))
    for field in ("linear_units", "conv_channels", "subsampling_channels"):
        assert all(n % 8 == 0 for n in structure.widths()[field])
    reached = budget.reached(graph.dense, structure)
    assert all(0.5 <= share <= 0.55 for share in reached)


def test_what_stays_below_the_budget_is_told():
    graph = graph_of("latest", width=32, blocks=1)
    for conf in ({"cnn": 0.45}, {"kind": "macs", "cnn": 0.5, "transformer": 0.5}):
        budget, told = Budget.from_conf(conf), {}
        for round_to in (1, 8):
            masks = project(graph, random_scores(graph), budget, round_to)
            found = graph.structure(masks)
            told[round_to] = loosely_met(budget, graph.dense, found, round_to)
            reached = budget.reached(graph.dense, found)
            off = [
                (1 - r) / (1 - t.sparsity) < 1 - t.price.tolerance
                for r, t in zip(reached, budget)
            ]
            assert sum(off) == len(told[round_to])
        assert told[8] and all("no multiple of 8 units" in text for text in told[8])


@pytest.mark.parametrize("conf", FORMS[2:])
def test_magnitude(conf):
    family, small = VARIANTS["latest"]
    wide = dict(small, output_size=64, linear_units=256, num_blocks=3)
    torch.manual_seed(0)
    encoder = stock_class(family)(80, **wide)
    graph, budget = unit_graph(encoder), Budget.from_conf(conf)
    masks = by_quantiles(unit_norms(encoder, graph), graph, budget, UNIT_KINDS)
    check_met(graph, budget, masks)
    one = by_quantiles(
        unit_norms(encoder, graph), graph, Budget.from_conf({"cnn": 0.5}), UNIT_KINDS
    )
    assert {graph[name].kind for name in one} == {"subsampling_channel"}


@pytest.mark.parametrize(
    "params,macs,flags",
    [
        (0.5, 0.5, [False, False]),
        (0.5, 0.05, [False, True]),  # half the parameters: MACs have fallen by more
        (0.05, 0.9, [True, False]),
    ],
)
def test_targets_that_others_imply(params, macs, flags):
    graph = graph_of("latest")
    names = [unit.name for unit in graph]
    conf = [{"sparsity": params}, {"kind": "macs", "sparsity": macs}]
    assert implied(graph, names, Budget.from_conf(conf)) == flags
    assert implied(graph, names, Budget.from_conf(conf[:1])) == [False]
    parts = Budget.from_conf({"cnn": params, "transformer": macs})
    assert implied(graph, names, parts) == [False, False]
