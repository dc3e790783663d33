# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Two branches: what is left without one or both, and what is a stock encoder."""

import itertools

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.units import MaskHooks
from espnet_prune.units.norms import open_norm
from test.espnet_prune.encoder_zoo import (
    MEL,
    VARIANTS,
    build,
    pruned_class,
    stock_class,
)

TWO = [name for name in VARIANTS if "branchformer" in name]


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 61, MEL, generator=generator), torch.tensor([61, 40])


def output(encoder):
    with torch.no_grad():
        out = encoder(*batch())[0]
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("variant", TWO)
def test_any_branches_of_any_block(variant):
    """Attention, cgMLP, both, or none; then the rest in a second cut."""
    encoder = build(variant)
    graph = unit_graph(encoder)
    full = graph.dense["encoder"].blocks
    fields = [field for field in ("attention_heads", "cgmlp_units") if field in full]
    choices = list(itertools.product((0, 3), repeat=len(fields)))
    for first, second in itertools.product(choices, repeat=2):
        widths = {
            field: [min(n, size) for n, size in zip(pair, full[field])]
            for field, pair in zip(fields, zip(first, second))
        }
        structure = graph.dense.with_widths(widths)
        masks = soft_masks(graph, structure)
        small = cut(encoder, structure, masks)
        assert compare(encoder, graph, masks, small, trials=1)["equal"], widths
        assert cost(structure).params == sum(p.numel() for p in small.parameters())
        nothing = {field: [0, 0] for field in fields}
        empty = cut(small, structure.with_widths(nothing))
        for name in masks:
            if name.endswith(("heads", "cgmlp.channels")):
                masks[name] = torch.zeros_like(masks[name])
        at_once = cut(encoder, graph.structure(masks), masks)
        assert torch.allclose(output(empty), output(at_once), atol=1e-5), widths
        assert list(empty.state_dict()) == list(at_once.state_dict())


def test_what_a_removed_branch_leaves():
    small = cut(
        build("e_branchformer"),
        Structure.dense(build("e_branchformer")).with_widths(
            {"attention_heads": [0, 4], "cgmlp_units": [5, 0]}
        ),
    )
    for block in small.encoders:
        assert block.depthwise_conv_fusion.weight.shape == (16, 1, 3)
        assert block.merge_proj.weight.shape == (16, 16)
    keys = list(small.state_dict())
    for gone in ("0.attn", "0.norm_mha", "1.cgmlp", "1.norm_mlp"):
        assert not [key for key in keys if key.startswith(f"encoders.{gone}.")]


def test_no_units_without_a_structure():
    """Fastformer's attention offers no heads; an absent branch offers nothing."""
    for variant in ("branchformer_fast", "e_branchformer_fast"):
        graph = unit_graph(build(variant))
        assert not graph.of_kinds(("head",))
        assert "attention_heads" not in graph.dense["encoder"].blocks
        with pytest.raises(UserError, match="attention_heads"):
            graph.dense.with_widths({"attention_heads": [2, 2]})
    without = unit_graph(build("branchformer_no_cgmlp")).dense["encoder"]
    assert "cgmlp_units" not in without.blocks
    uneven = unit_graph(build("branchformer_fixed_uneven")).dense["encoder"]
    assert uneven.blocks["attention_heads"] == [0, 4]


def test_a_learned_average_of_nothing_still_pools():
    """Where both branches are removed, zeros of width 1 are pooled in their place."""
    encoder = build("branchformer_learned")
    dense = Structure.dense(encoder)
    structure = dense.with_widths({"attention_heads": [0, 4], "cgmlp_units": [0, 24]})
    small = cut(encoder, structure)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as count:
        small(torch.randn(1, 101, MEL), torch.tensor([101]))
    counted = count.get_total_flops() // 2
    assert cost(structure, 101).macs == cost(small, 101).macs == counted


def test_fastformer_attention_in_some_blocks_only():
    conf = dict(VARIANTS["branchformer_fast"][1], merge_method="fixed_ave")
    encoder = stock_class("branchformer")(MEL, **conf, cgmlp_weight=[1.0, 0.5])
    small = cut(encoder.eval(), Structure.random(encoder, 1))
    for module in (encoder, small):
        assert cost(module).params == sum(p.numel() for p in module.parameters())


def test_the_norm_ignores_closed_channels():
    torch.manual_seed(0)
    norm = torch.nn.LayerNorm(8, eps=1e-12)
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    x, is_open = torch.randn(2, 5, 8), torch.tensor([1, 0, 1, 1, 0, 0, 1, 1]) > 0
    small = torch.nn.LayerNorm(5, eps=1e-12)
    small.load_state_dict({k: v[is_open] for k, v in norm.state_dict().items()})
    got = open_norm(norm, x, is_open)
    assert torch.allclose(got[..., is_open], small(x[..., is_open]), atol=1e-5)
    assert torch.equal(got[..., ~is_open], norm.bias[~is_open].expand(2, 5, 3))
    everything = torch.ones(8, dtype=torch.bool)
    assert torch.allclose(open_norm(norm, x, everything), norm(x), atol=1e-5)


@pytest.mark.parametrize("variant", ["e_branchformer_linear", "branchformer_learned"])
def test_masks_of_one_change_nothing_and_get_gradients(variant):
    encoder = build(variant)
    before = output(encoder)
    graph = unit_graph(encoder)
    hooks = MaskHooks(encoder, graph)
    hooks.values = {u.name: torch.ones(u.size, requires_grad=True) for u in graph}
    assert torch.equal(output(encoder), before)
    values = {}
    for u in graph:
        values[u.name] = torch.full((u.size,), 0.5)
        values[u.name][1:2] = 0.0
        values[u.name].requires_grad_()
    hooks.values = values
    encoder.train()(*batch())[0].square().sum().backward()
    assert all(mask.grad.abs().max() > 0 for mask in values.values())
    hooks.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.modules())


STOCK = [
    ("e_branchformer", {"cgmlp_units": [7], "kept_blocks": [1]}, True),
    ("e_branchformer", {"cgmlp_units": [7, 7], "linear_units": [9, 9]}, False),
    ("e_branchformer", {"cgmlp_units": [7, 0]}, False),
    ("e_branchformer_linear", {"cgmlp_units": [7, 7]}, True),
    ("branchformer", {"cgmlp_units": [5, 5]}, True),
    ("branchformer", {"cgmlp_units": [5, 6]}, False),
    ("branchformer", {"cgmlp_units": [5, 0]}, False),
    ("branchformer", {"attention_heads": [4, 3]}, False),
    ("branchformer_legacy", {"kept_blocks": [1]}, True),
    ("branchformer_fixed", {"cgmlp_units": [0, 5]}, True),
    ("branchformer_fixed", {"cgmlp_units": [0, 0]}, True),
    ("branchformer_fixed", {"attention_heads": [0, 4], "kept_blocks": [0, 1]}, True),
    ("branchformer_fixed", {"attention_heads": [0], "kept_blocks": [1]}, True),
    ("branchformer_fixed", {"attention_heads": [0, 4], "cgmlp_units": [0, 5]}, False),
    ("branchformer_fixed_uneven", {"cgmlp_units": [5, 0]}, True),
    ("branchformer_fast", {"cgmlp_units": [5, 5]}, True),
    ("branchformer_no_attn", {"kept_blocks": [0]}, True),
]


@pytest.mark.parametrize("variant,widths,is_stock", STOCK)
def test_stock_shapes_load_as_stock(variant, widths, is_stock):
    family, conf = VARIANTS[variant]
    encoder = build(variant)
    dense = Structure.dense(encoder)
    kept = dense.with_widths(widths)
    own = kept["encoder"]
    if family == "e_branchformer" and is_stock and "linear_units" in own.blocks:
        for field in ("linear_units", "macaron_linear_units"):
            own.blocks[field][:] = [11]
    small = cut(encoder, kept)
    name, conf = stack_config(family, conf, dense, kept)
    assert name == (family if is_stock else f"pruned_{family}")
    make = stock_class(family) if is_stock else pruned_class(family)
    rebuilt = make(MEL, **conf).eval()
    assert list(rebuilt.state_dict()) == list(small.state_dict())
    rebuilt.load_state_dict(small.state_dict(), strict=True)
    assert torch.equal(output(rebuilt), output(small))
    for ours, theirs in zip(small.encoders, rebuilt.encoders):
        for key in ("stochastic_depth_rate", "attn_branch_drop_rate"):
            assert getattr(ours, key, 0.0) == getattr(theirs, key, 0.0)


def test_checkpointed_layers_move():
    conf = dict(VARIANTS["e_branchformer"][1], num_blocks=3)
    conf.update(gradient_checkpoint_layers=[0, 2, 3], interctc_layer_idx=[1])
    encoder = stock_class("e_branchformer")(MEL, **conf).eval()
    dense = Structure.dense(encoder)
    kept = dense.with_widths({"kept_blocks": [0, 2]})
    small = cut(encoder, kept)
    written = stack_config("e_branchformer", conf, dense, kept)[1]
    for found in (small.gradient_checkpoint_layers, written):
        found = (
            found if isinstance(found, list) else found["gradient_checkpoint_layers"]
        )
        assert found == [0, 2]


def test_skipping_blocks_is_said_as_espnet_does():
    e_branchformer = pruned_class("e_branchformer")
    conf = VARIANTS["e_branchformer"][1]
    assert e_branchformer(MEL, **conf, layer_drop_rate=0.2).layer_drop_rate == 0.2
    with pytest.raises(UserError, match="set layer_drop_rate"):
        e_branchformer(MEL, **conf, stochastic_depth_rate=0.2)
    conf = VARIANTS["branchformer"][1]
    with pytest.raises(UserError, match="set stochastic_depth_rate"):
        pruned_class("branchformer")(MEL, **conf, layer_drop_rate=0.2)
    encoder = pruned_class("branchformer")(
        MEL, **conf, stochastic_depth_rate=0.4, stochastic_depth_rule="linear"
    )
    assert [b.stochastic_depth_rate for b in encoder.encoders] == [0.2, 0.4]
