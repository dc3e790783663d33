# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What every variant of every family must do: a new one needs a line in the zoo.

Masked = cut = rebuilt from the config, the price is what is there, at random structures
that the suite draws by seed; ESPNET_PRUNE_LONG=1 draws a hundred for each variant and
writes test/results/variants.json.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from espnet_prune import Structure, cost, cut, unit_graph
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.measure.prices import kinds
from espnet_prune.units import MaskHooks
from espnet_prune.utils import read_json, write_json
from test.espnet_prune.encoder_zoo import (
    EVERY,
    FRONTS,
    SPEECH,
    VARIANTS,
    build,
    counted_macs,
    inputs,
    output,
    rebuilt,
)

LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
RESULT = Path(__file__).resolve().parents[1] / "results" / "variants.json"
DRAWN = 100 if LONG else 8


def number(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("variant", EVERY)
def test_masked_equals_cut_equals_rebuilt(variant):
    encoder = build(variant)
    graph, worst = unit_graph(encoder), 0.0
    for seed in range(DRAWN):
        keep = 0.2 + 0.7 * seed / DRAWN
        structure = Structure.random(encoder, seed, keep)
        masks = soft_masks(graph, structure, seed)
        if seed % 5 == 4:
            structure = structure.with_widths({"kept_blocks": [seed // 5 % 2]})
        small = cut(encoder, structure, masks)
        report = compare(encoder, graph, masks, small, trials=2, seed=seed)
        assert report["max_abs_diff"] <= 1e-5, (variant, seed)
        worst = max(worst, report["max_abs_diff"])
        found = Structure.dense(small)
        assert cost(found) == cost(structure)
        assert cost(found).params == number(small)
        assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
        assert Structure.from_dict(found.to_dict()) == found
        if seed % 4 == 0:
            again = rebuilt(variant, found, graph.dense)
            again.load_state_dict(small.state_dict(), strict=True)
            batch = inputs(variant, 60, count=2)
            assert torch.equal(output(again, *batch), output(small, *batch))
            assert Structure.dense(again).widths() == found.widths()
    if LONG:
        record = read_json(RESULT) if RESULT.exists() else {}
        record[variant] = {"structures": DRAWN, "largest_difference": worst}
        write_json(dict(sorted(record.items())), RESULT)


@pytest.mark.parametrize("variant", EVERY)
def test_the_price_is_what_is_there(variant):
    """Parameters against numel, MACs against those that torch counts."""
    encoder = build(variant)
    for keep in (None, 0.6, 0.3):
        if keep is not None:
            encoder = cut(encoder, Structure.random(encoder, 3, keep))
        for frames in (60, 101, 203):
            batch = inputs(variant, frames)
            assert cost(encoder, frames).macs == counted_macs(encoder, *batch)
        found = cost(encoder)
        assert found.params == number(encoder)
        assert kinds()["bytes"].of(found) == sum(
            t.numel() * t.element_size() for t in encoder.state_dict().values()
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_dense_structure_is_the_stock_encoder(variant):
    stock, batch = build(variant), inputs(variant, 50, count=2)
    for structure in (None, Structure.dense(stock).widths()):
        pruned = build(variant, pruned=True, structure=structure)
        assert list(pruned.state_dict()) == list(stock.state_dict())
        pruned.load_state_dict(stock.state_dict(), strict=True)
        assert torch.equal(output(stock, *batch), output(pruned, *batch))


@pytest.mark.parametrize("variant", EVERY)
def test_masks_of_one_change_nothing_and_all_get_gradients(variant):
    freeze = {"freeze_cnn": True} if variant in (*SPEECH, *FRONTS) else {}
    encoder, batch = build(variant, **freeze), inputs(variant, 60, count=2)
    before = output(encoder, *batch)
    graph = unit_graph(encoder)
    hooks = MaskHooks(encoder, graph)
    hooks.values = {u.name: torch.ones(u.size) for u in graph}
    assert torch.equal(output(encoder, *batch), before)
    values = {u.name: torch.full((u.size,), 0.5) for u in graph}
    hooks.values = {name: value.requires_grad_() for name, value in values.items()}
    skips = any(getattr(m, "stochastic_depth_rate", 0) for m in encoder.modules())
    out = encoder.train(not skips)(*batch)[0]
    (out[0] if isinstance(out, tuple) else out).square().sum().backward()
    assert all(mask.grad.abs().max() > 0 for mask in values.values())
    hooks.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.modules())
