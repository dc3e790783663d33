# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Streaming encoders; what they share with all others is in `test_variants.py`."""

import pytest
import torch

from espnet_prune import Structure, UserError, cost, cut, unit_graph
from espnet_prune.cutting.stock import stack_config
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.distill.capture import Capture
from espnet_prune.families.contextual_block import streamed
from espnet_prune.models import build_model
from espnet_prune.structure import OTHERS
from espnet_prune.units import masked
from espnet_prune.units.blocks import BlockRunner, with_blocks
from test.espnet_prune.deep import CONFIG, HYBRID
from test.espnet_prune.encoder_zoo import (
    VARIANTS,
    build,
    inputs,
    output,
    pruned_class,
    stock_class,
)

VARIANT = "stream"
CHUNKED = [name for name in VARIANTS if name.startswith("stream_s") or name == VARIANT]
CONF = VARIANTS[VARIANT][1]


@pytest.mark.parametrize("fed", [(1,), (3, 50), (11, 7), (64,), (1000,)])
@pytest.mark.parametrize("sizes", [(8, 3, 2), (13, 5, 8), (7, 7, 0)])
def test_a_stream_is_the_utterance_for_masked_and_cut(sizes, fed):
    more = dict(zip(("block_size", "hop_size", "look_ahead"), sizes))
    encoder = build(VARIANT, num_blocks=3, **more).double()
    structure = Structure.random(encoder, 4, 0.6)
    graph = unit_graph(encoder)
    masks = soft_masks(graph, structure, 4)
    structure = structure.with_widths({"kept_blocks": [0, 2]})
    small = cut(encoder, structure, masks)
    for frames in (103, 260):
        x, lengths = inputs(VARIANT, frames)
        x = x.double()
        whole = output(small, x, lengths)[0]
        assert (streamed(small, x, fed) - whole).abs().max() < 1e-9
        with masked(encoder, graph, masks):
            left = with_blocks(encoder, [0, 2])
            for same in (streamed(left, x, fed), output(left, x, lengths)[0]):
                assert (same - whole).abs().max() < 1e-6


def test_states_follow_the_blocks():
    """What is handed on has a row per block that is left, of the model's width."""
    encoder = build(VARIANT, num_blocks=4)
    small = cut(encoder, Structure.dense(encoder).with_widths({"kept_blocks": [1, 3]}))
    assert [block.total_layer_num for block in small.encoders] == [2, 2]
    assert [block.total_layer_num for block in encoder.encoders] == [4] * 4
    again = pruned_class("contextual_block_conformer")(
        40, structure=Structure.dense(small).widths(), **{**CONF, "num_blocks": 4}
    ).eval()
    again.load_state_dict(small.state_dict())
    x, lengths = inputs(VARIANT, 200)
    for module in (small, again):
        with torch.no_grad():
            _, _, state = module(x, lengths, is_final=False, infer_mode=True)
        assert state["past_encoder_ctx"].shape == (1, 2, 16)


def test_uniform_cuts_are_stock_encoders():
    encoder = build(VARIANT, num_blocks=3)
    kept = {"linear_units": [10] * 2, "macaron_linear_units": [10] * 2}
    structure = Structure.dense(encoder).with_widths({"kept_blocks": [0, 2], **kept})
    small, dense = cut(encoder, structure), Structure.dense(encoder)
    conf = {**CONF, "num_blocks": 3}
    name, own = stack_config("contextual_block_conformer", conf, dense, structure)
    assert name == "contextual_block_conformer"
    assert own == {**conf, "num_blocks": 2, "linear_units": 10}
    stock = stock_class(name)(40, **own).eval()
    stock.load_state_dict(small.state_dict())
    x, lengths = inputs(VARIANT, 200, count=2)
    assert torch.equal(output(stock, x, lengths), output(small, x, lengths))
    assert torch.equal(streamed(stock, x[:1]), streamed(small, x[:1]))
    fewer = structure.with_widths({"attention_heads": [3, 3]})
    name, own = stack_config("contextual_block_conformer", conf, dense, fewer)
    assert name == "pruned_contextual_block_conformer"
    assert own["structure"] == fewer.widths()


@pytest.mark.parametrize("frames", [40, 147, 148, 163, 164, 1000])
def test_overlaps_are_paid(frames):
    """A frame is seen by as many chunks as it lies in, up to one chunk once."""
    encoder = build("stream_stock_sizes")
    seen = ((frames - 3) // 2 + 1 - 3) // 2 + 1
    chunks = 0 if seen <= 40 else 1
    while chunks and 40 + 16 * (chunks - 1) < seen:
        chunks += 1
    ours = 42 * chunks if chunks else seen
    block = Structure.dense(encoder)["encoder"].price.clock.times(frames)
    assert block["frame"] == ours and block["pairs"] == ours * (ours // (chunks or 1))
    assert block["entering"] == seen


def test_decoders_read_frames_not_chunks():
    encoder = {"encoder": "contextual_block_conformer", "encoder_conf": CONF}
    hybrid = unit_graph(build_model({**HYBRID, **encoder})).dense
    wide = {**HYBRID["encoder_conf"], "output_size": CONF["output_size"]}
    plain = unit_graph(build_model({**HYBRID, "encoder_conf": wide})).dense
    for frames in (100, 1000):
        for stack in ("decoder", OTHERS):
            same = cost(hybrid, frames, stack), cost(plain, frames, stack)
            assert same[0] == same[1]


def test_rates_that_do_nothing_are_refused():
    for key in ("layer_drop_rate", "stochastic_depth_rate"):
        with pytest.raises(UserError, match=f"{key}: 0.1 is unknown"):
            build(VARIANT, pruned=True, **{key: 0.1})


@pytest.mark.parametrize("variant", CHUNKED)
def test_blocks_are_run_from_any_state(variant):
    """What a state holds stays as it is while other blocks run from it."""
    encoder, batch = build(variant, num_blocks=4), inputs(variant, 250, count=2)
    runner, dense = BlockRunner(encoder), Structure.dense(encoder)
    first = runner.advance(runner.start(lambda: encoder(*batch)), 0)
    assert first.bytes() > first.x.numel() * 4  # contexts count, too
    found = {n: runner.advance(first, n) for n in (2, 1)}
    for n, state in found.items():
        small = cut(encoder, dense.with_widths({"kept_blocks": [0, n, 3]}))
        x, lengths = runner.finish(runner.advance(state, 3))
        assert torch.equal(x, output(small, *batch))
        assert torch.equal(lengths, small(*batch)[1])


def test_hidden_states_are_frames():
    conf = {"encoder": "contextual_block_conformer", "encoder_conf": CONF}
    torch.manual_seed(0)
    model = build_model({**CONFIG, **conf}).eval()
    speech = torch.randn(2, 30000)
    lengths, tokens = torch.tensor([30000, 21000]), torch.ones(2, 3).long()
    with torch.no_grad(), Capture(model) as seen:
        model(speech, lengths, tokens, torch.tensor([3, 3]))
        out = model.encode(speech, lengths)[0]
    last = model.encoder.after_norm(seen.blocks[-1])
    assert torch.allclose(last, out, atol=1e-6)
    assert all(b.shape == seen.block_input.shape for b in seen.blocks)
