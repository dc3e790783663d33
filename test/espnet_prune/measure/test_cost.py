# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Formula = reality: parameters against numel, MACs against counted ones."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune import Structure, cost, cut
from espnet_prune.measure.cost import PARTS, Cost, CostModel, ExpectedCost
from espnet_prune.units.modules import subsampling_out
from test.espnet_prune.encoder_zoo import MEL, VARIANTS, build, stock_class


@pytest.mark.parametrize("variant", ["interctc", "e_branchformer"])
def test_self_conditioning_runs_the_ctc_layer(variant):
    own = dict(interctc_layer_idx=[1, 2], interctc_use_conditioning=True)
    encoder = build(variant, num_blocks=3, **own)
    encoder.conditioning_layer = torch.nn.Linear(50, 16)
    ctc, linear = torch.nn.Module(), torch.nn.Linear(16, 50)
    ctc.softmax = lambda hidden: linear(hidden).softmax(-1)
    for encoder in (encoder, cut(encoder, Structure.random(encoder, 3))):
        x, lengths = torch.randn(1, 101, MEL), torch.tensor([101])
        with FlopCounterMode(display=False) as counter:
            encoder(x, lengths, ctc=ctc)
        assert cost(encoder, 101).macs == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "size,heads,units,blocks,params,gmacs",
    [
        (256, 4, 1024, 12, 20_906_496, 8.8249),
        (256, 4, 2048, 12, 33_513_984, 11.9581),
        (512, 8, 2048, 12, 83_231_744, 33.6404),
        (256, 4, 1024, 18, 30_440_448, 11.6647),
    ],
)
def test_reference_figures(size, heads, units, blocks, params, gmacs):
    with torch.device("meta"):
        encoder = stock_class("conformer")(
            80, size, heads, units, blocks, macaron_style=True, rel_pos_type="latest"
        )
    found = cost(encoder, 1000)
    assert found.params == params
    assert found.macs / 1e9 == pytest.approx(gmacs, abs=5e-5)


def test_reference_figures_of_e_branchformer():
    conf = dict(use_ffn=True, macaron_ffn=True, linear_units=1024, merge_conv_kernel=31)
    with torch.device("meta"):
        encoder = stock_class("e_branchformer")(80, cgmlp_linear_units=1024, **conf)
    assert cost(encoder).params == 25_148_928


def test_share_of_the_subsampling():
    with torch.device("meta"):
        encoder = stock_class("conformer")(
            80, 256, 4, 1024, 12, macaron_style=True, rel_pos_type="latest"
        )
    model = CostModel(Structure.dense(encoder), 1000)
    full = model.exact({})
    rest = model.exact({"embed.conv.0.channels": 0, "embed.conv.2.channels": 0})
    assert (full.macs - rest.macs) / full.macs == pytest.approx(0.356, abs=1e-3)
    assert (full.params - rest.params) / full.params == pytest.approx(0.088, abs=1e-3)


def test_one_polynomial_for_integers_and_expectations():
    encoder = build("latest")
    dense = Structure.dense(encoder)
    model = CostModel(dense, 200)
    names = list(model.variables)
    for kind in ("params", "macs"):
        expected = ExpectedCost(model, names, kind)
        full = torch.tensor([float(model.variables[name]) for name in names])
        assert float(expected(full)) == expected.full == getattr(cost(dense, 200), kind)
        some = {name: count // 2 for name, count in model.variables.items()}
        counts = torch.tensor([float(some[name]) for name in names])
        assert float(expected(counts)) == getattr(model.exact(some), kind)
        # a subset of the variables: the others stay full
        part = ExpectedCost(model, names[:3], kind)
        counts = torch.tensor([1.0, 2.0, 3.0])
        given = dict(zip(names[:3], (1, 2, 3)))
        assert float(part(counts)) == getattr(model.exact(given), kind)


def test_every_unit_costs_something():
    model = CostModel(Structure.dense(build("latest")), 200)
    names = list(model.variables)
    counts = torch.tensor(
        [float(model.variables[name]) for name in names], requires_grad=True
    )
    ExpectedCost(model, names, "macs")(counts).backward()
    assert (counts.grad > 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_parts_sum_to_the_whole_and_share_nothing(variant):
    encoder = build(variant)
    for keep in (None, 0.5):
        if keep is not None:
            encoder = cut(encoder, Structure.random(encoder, 3, keep))
        whole, parts = cost(encoder, 203), [cost(encoder, 203, p) for p in PARTS]
        assert whole == Cost(
            *(
                sum(getattr(p, key) for p in parts)
                for key in ("params", "macs", "stored")
            )
        )
        # "front" is the convolutions and the Linear behind them, all of it
        model = CostModel(Structure.dense(encoder), 203)
        front = []
        if "front" in model.parts.values():
            front = [encoder.embed.conv]
            front += [encoder.embed.get_submodule(subsampling_out(encoder.embed))]
        numel = sum(p.numel() for module in front for p in module.parameters())
        assert parts[0].params == numel
    for part in PARTS:
        for _, names in model.terms_of(part):
            assert {model.parts[name] for name in names} <= {part}


def test_expected_cost_of_a_part():
    model = CostModel(Structure.dense(build("latest")), 200)
    names = list(model.variables)
    counts = torch.tensor(
        [float(model.variables[name]) for name in names], requires_grad=True
    )
    for kind in ("params", "macs"):
        for part in PARTS:
            expected = ExpectedCost(model, names, kind, part)(counts)
            assert float(expected.detach()) == getattr(model.exact({}, part), kind)
            (gradient,) = torch.autograd.grad(expected, counts)
            own = torch.tensor([model.parts[name] == part for name in names])
            assert (gradient[own] > 0).all() and (gradient[~own] == 0).all()
