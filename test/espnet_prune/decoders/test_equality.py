# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Masked = cut = rebuilt from the config, for decoders, over random structures.

The suite draws 5 structures of every variant; ESPNET_PRUNE_LONG=1 draws 100 of each and
writes test/results/decoders.json.
"""

import pytest
import torch

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from test.espnet_prune.decoders.zoo import (
    DRAWN,
    VARIANTS,
    build,
    forced,
    recorded,
    sequence,
)


@pytest.fixture(scope="module")
def record():
    """What the long form found, per variant."""
    yield from recorded(VARIANTS, "decoders.json")


def without(structure, kept):
    """Return a Structure of fewer blocks."""
    widths = structure.widths()
    lists = {k: [v[i] for i in kept] for k, v in widths.items() if k != "kept_blocks"}
    return structure.with_widths({**lists, "kept_blocks": kept})


@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_equals_cut(variant, record):
    decoder = build(variant)
    graph, shares = unit_graph(decoder), []
    for seed in range(DRAWN):
        structure = Structure.random(decoder, seed, keep=0.3 + 0.4 * (seed % 5) / 4)
        masks = soft_masks(graph, structure, seed)
        structure = without(structure, [[0, 1, 2], [0, 2], [1]][seed % 3])
        small = cut(decoder, structure, masks)
        report = compare(decoder, graph, masks, small, trials=4, seed=seed)
        assert report["equal"], (variant, seed, report["relative_diff"])
        assert cost(structure).params == sum(p.numel() for p in small.parameters())
        assert Structure.dense(small).widths() == structure.widths()
        shares.append(report["relative_diff"])
    record[variant] = max(shares)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rebuilt_from_config(variant):
    decoder = build(variant)
    small = cut(decoder, without(Structure.random(decoder, 5), [0, 2]))
    widths = Structure.dense(small).widths()
    rebuilt = build(variant, pruned=True, structure=widths)
    rebuilt.load_state_dict(small.state_dict(), strict=True)
    assert compare(small, unit_graph(small), {}, rebuilt)["relative_diff"] == 0
    assert Structure.dense(rebuilt).widths() == widths


@pytest.mark.parametrize("variant", VARIANTS)
def test_dense_structure_is_the_stock_decoder(variant):
    stock = build(variant)
    for structure in (None, Structure.dense(stock).widths()):
        pruned = build(variant, pruned=True, structure=structure)
        assert list(pruned.state_dict()) == list(stock.state_dict())
        pruned.load_state_dict(stock.state_dict(), strict=True)
        assert compare(stock, unit_graph(stock), {}, pruned)["relative_diff"] == 0


def test_nothing_left_of_a_module():
    decoder = build()
    graph = unit_graph(decoder)
    for module, part in (
        ("self_attn", "heads"),
        ("src_attn", "heads"),
        ("feed_forward", "units"),
    ):
        name = f"decoder.decoders.1.{module}"
        masks = {f"{name}.{part}": torch.zeros(graph[f"{name}.{part}"].size)}
        small = cut(decoder, graph.structure(masks), masks)
        assert compare(decoder, graph, masks, small)["equal"]
        norm = {"self_attn": "norm1", "src_attn": "norm2", "feed_forward": "norm3"}
        left = [k.split(".")[2] for k in small.state_dict() if ".1." in k[:12]]
        assert module not in left and norm[module] not in left


def test_blocks_removed_are_identities():
    decoder = build(seed=2)
    small = cut(decoder, Structure.dense(decoder).with_widths({"kept_blocks": [1]}))
    assert len(small.decoders) == 1
    memory, ys = sequence()
    for i in (0, 2):
        decoder.decoders[i].forward = lambda *args: args
    assert torch.equal(forced(decoder, memory, ys), forced(small, memory, ys))


def test_cut_twice():
    """A pruned decoder can be pruned again, to the same as in one go."""
    decoder = build()
    dense = Structure.dense(decoder)
    first = {"linear_units": [12, 0, 24], "source_attention_heads": [2, 4, 3]}
    second = {**first, "linear_units": [6, 0, 9], "self_attention_heads": [0, 3, 1]}
    twice = cut(cut(decoder, dense.with_widths(first)), dense.with_widths(second))
    once = cut(decoder, dense.with_widths(second))
    memory, ys = sequence()
    assert torch.allclose(forced(twice, memory, ys), forced(once, memory, ys))


@pytest.mark.parametrize("name", ["self_attn", "src_attn"])
def test_wrong_order_of_heads_is_found_out(name):
    decoder = build()
    graph = unit_graph(decoder)
    small = cut(decoder, Structure.dense(decoder))
    assert compare(decoder, graph, {}, small)["equal"]
    attention = getattr(small.decoders[0], name)
    with torch.no_grad():
        attention.linear_q.weight.copy_(attention.linear_q.weight.roll(4, 0))
    assert not compare(decoder, graph, {}, small)["equal"]


def test_wrong_cache_is_found_out():
    """A state that lacks what a block without self-attention has to hand on."""
    decoder = build()
    graph = unit_graph(decoder)
    name = "decoder.decoders.1.self_attn"
    masks = {name: torch.zeros(1)}
    small = cut(decoder, graph.structure(masks), masks)
    assert compare(decoder, graph, masks, small)["equal"]
    step = small.batch_score

    def forgetful(ys, states, xs):
        scores, states = step(ys, states, xs)
        return scores, [[a, b * 0, *others] for a, b, *others in states]

    small.batch_score = forgetful
    assert not compare(decoder, graph, masks, small)["equal"]


def test_concat_after_keeps_a_head():
    decoder = build("concat_after")
    with pytest.raises(UserError, match="self_attention_heads.0. is 0"):
        Structure.dense(decoder).with_widths({"self_attention_heads": [0, 4, 4]})
