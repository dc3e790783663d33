# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""OWSM-CTC's encoder with all that its model gives it: prompts, CTC, InterCTC.

Its variants are in the zoo; here are self-conditioning, depth and the stock class.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare
from espnet_prune.families.e_branchformer_ctc import random_prompt
from espnet_prune.units.blocks import BlockRunner, set_blocks, with_blocks
from espnet_prune.units.narrow import can_drop, most_removable
from test.espnet_prune.encoder_zoo import MEL, arguments, build, inputs, stock_class

VOCABULARY, VARIANT = 11, "owsm_ctc"
CROSS = [0, 0, 1, 0, 1]


class Head(torch.nn.Module):
    """Stands for a CTC module."""

    def __init__(self):
        super().__init__()
        self.ctc_lo = torch.nn.Linear(16, VOCABULARY)

    def softmax(self, x):
        return torch.softmax(self.ctc_lo(x), -1)


def conditioned(taps=(2, 4), conditioning=True):
    more = dict(interctc_layer_idx=list(taps), interctc_use_conditioning=conditioning)
    encoder = build(VARIANT, num_blocks=5, use_cross_attention=CROSS, **more)
    torch.manual_seed(1)
    if conditioning:  # ESPnet's model makes it
        encoder.conditioning_layer = torch.nn.Linear(VOCABULARY, 16)
    return encoder, Head()


def batch(encoder, frames=(120, 90, 77)):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(len(frames), max(frames), MEL, generator=generator)
    return (x, torch.tensor(frames)), random_prompt(encoder, len(frames), 4)


def outputs(encoder, ctc, **more):
    own, prompt = batch(encoder)
    with torch.no_grad():
        found, lengths, _ = encoder(*own, ctc=ctc, **prompt, **more)
    return (*found, lengths) if isinstance(found, tuple) else (found, [], lengths)


def test_the_conditioning_layer_is_paid_wherever_it_runs():
    encoder, ctc = conditioned()
    without, _ = conditioned(conditioning=False)
    layer = encoder.conditioning_layer
    size = sum(p.numel() for p in layer.parameters())
    assert cost(encoder).params - cost(without).params == size
    assert cost(encoder).params == sum(p.numel() for p in encoder.parameters())
    for encoder in (encoder, cut(encoder, Structure.random(encoder, 1, 0.5))):
        own = inputs(VARIANT, 130)
        with FlopCounterMode(display=False) as count, torch.no_grad():
            encoder(*own[:3], ctc, *own[4:])
        assert cost(encoder, 130).macs == count.get_total_flops() // 2


@pytest.mark.parametrize("removed", [[], [0], [1, 4], [2]])
def test_masked_equals_cut_with_all_that_the_model_gives(removed):
    encoder, ctc = conditioned()
    graph, kept = unit_graph(encoder), [b for b in range(5) if b not in removed]
    if len(kept) < 4:
        kept = [0, 2, 4]  # blocks before, between and behind the taps
    structure = Structure.random(encoder, len(removed), 0.5)
    masks = soft_masks(graph, structure)
    structure = structure.with_widths({"kept_blocks": kept})
    small = cut(encoder, structure, masks)
    report = compare(encoder, graph, masks, small, trials=3, ctc=ctc)
    assert report["equal"] and report["finite"]
    # a tap moves with the block that it follows, or the one before
    before = [sum(b < tap for b in kept) for tap in (2, 4)]
    assert small.interctc_layer_idx == before


@pytest.mark.parametrize("conditioning", [True, False])
def test_no_tap_is_lost(conditioning):
    """Without conditioning the model still has a list of what each tap spells."""
    encoder, _ = conditioned(conditioning=conditioning)
    assert most_removable(encoder) == 2
    assert can_drop(encoder, [1, 3]) and not can_drop(encoder, [1, 2])
    structure = Structure.dense(encoder).with_widths({"kept_blocks": [2, 3, 4]})
    with pytest.raises(UserError, match="keep a block before and after each"):
        cut(encoder, structure)


def test_the_prompt_is_heard_by_heads_that_stay_alone():
    encoder, ctc = conditioned()
    dense = Structure.dense(encoder)
    heads = dense.widths()["cross_attention_heads"]
    assert heads == [0, 0, 4, 0, 4]
    small = cut(encoder, dense.with_widths({"cross_attention_heads": [0] * 5}))
    (own, prompt), (whole, *_) = batch(encoder), outputs(encoder, ctc)
    other = {**prompt, "memory": prompt["memory"] + 1.0}
    with torch.no_grad():
        changed = [e(*own, ctc=ctc, **other)[0][0] for e in (encoder, small)]
    assert not torch.allclose(changed[0], whole, atol=1e-3)
    assert torch.equal(changed[1], outputs(small, ctc)[0])


@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4], [0, 2, 3], [1, 3, 4]])
def test_blocks_are_run_one_by_one_with_the_prompt(kept):
    encoder, ctc = conditioned()
    own, prompt = batch(encoder)
    runner = BlockRunner(encoder, ctc)
    state = runner.start(lambda: encoder(*own, ctc=ctc, **prompt))
    for block in kept:
        state = runner.advance(state, block)
    wanted = outputs(with_blocks(encoder, kept), ctc)[0]
    assert torch.allclose(runner.finish(state)[0], wanted, atol=1e-5)


@pytest.mark.parametrize("last", [1, 2, 4])
def test_max_layer_stops_at_a_block_of_those_that_are_left(last):
    """ESPnet's own depth on demand: blocks up to that number run."""
    encoder, ctc = conditioned()
    kept, blocks = [0, 2, 3, 4], list(encoder.encoders)
    small = cut(encoder, Structure.dense(encoder).with_widths({"kept_blocks": kept}))
    set_blocks(encoder, blocks, kept)
    # the same block, by its number in the whole model
    number = kept[min(last, 3)]
    wanted = outputs(encoder, ctc, max_layer=number)
    found = outputs(small, ctc, max_layer=last)
    assert torch.allclose(found[0], wanted[0], atol=1e-5)
    assert len(found[1]) == len(wanted[1])
    for (_, ours), (_, theirs) in zip(found[1], wanted[1]):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4], [0, 2, 4]])
def test_fewer_blocks_without_a_prompt_or_with_it_are_a_stock_model(kept):
    encoder, ctc = conditioned()
    _, conf = arguments(VARIANT, num_blocks=5, use_cross_attention=CROSS)
    conf.update(interctc_layer_idx=[2, 4], interctc_use_conditioning=True)
    dense, own = Structure.dense(encoder), {"kept_blocks": kept}
    heads = [0] * len(kept)
    if len(kept) == 5:
        heads[2] = 4
        own["linear_units"] = own["macaron_linear_units"] = [8] * 5
    own["cross_attention_heads"] = heads
    small = cut(encoder, dense.with_widths(own))
    name, found = stack_config(
        "e_branchformer_ctc", conf, dense, Structure.dense(small)
    )
    assert name == "e_branchformer_ctc"
    again = stock_class(name)(**found).eval()
    again.conditioning_layer = torch.nn.Linear(VOCABULARY, 16)
    again.load_state_dict(small.state_dict(), strict=True)
    assert again.interctc_layer_idx == small.interctc_layer_idx
    assert torch.equal(outputs(again, ctc)[0], outputs(small, ctc)[0])
    uneven = cut(encoder, dense.with_widths({"cross_attention_heads": [0, 0, 3, 0, 4]}))
    name, found = stack_config(name, conf, dense, Structure.dense(uneven))
    assert name == "pruned_e_branchformer_ctc" and "structure" in found


def test_blocks_are_never_skipped(caplog):
    with pytest.raises(UserError, match="does nothing in ESPnet's e_branchformer_ctc"):
        build(VARIANT, pruned=True, layer_drop_rate=0.1)
    structure = Structure.dense(build(VARIANT)).widths()
    build(VARIANT, pruned=True, layer_drop_rate=0.1, structure=structure)
    assert "layer_drop_rate: 0.1 does nothing" in caplog.text
    with pytest.raises(UserError, match="stochastic_depth_rate: 0.1 is unknown"):
        build(VARIANT, pruned=True, stochastic_depth_rate=0.1)
