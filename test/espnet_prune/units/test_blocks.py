# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import copy

import pytest
import torch

from espnet_prune import Structure, cut
from espnet_prune.units.blocks import (
    BlockRunner,
    check_blocks,
    kept_after,
    parse_blocks,
    set_blocks,
    with_blocks,
)
from espnet_prune.units.narrow import moved_taps
from espnet_prune.utils import UserError
from test.espnet_prune.encoder_zoo import MEL, VARIANTS, build


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 90, MEL, generator=generator), torch.tensor([90, 61, 40])


def output(encoder, **more):
    with torch.no_grad():
        out, lengths, _ = encoder(*batch(), **more)
    return (out[0] if isinstance(out, tuple) else out), lengths


def run(encoder, kept, ctc=None):
    runner = BlockRunner(encoder, ctc)
    more = {} if ctc is None else {"ctc": ctc}
    state = runner.start(lambda: encoder(*batch(), **more))
    for block in kept:
        state = runner.advance(state, block)
    return runner.finish(state)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_all_blocks_are_the_encoder(variant):
    encoder = build(variant, num_blocks=3, **_rates(variant))
    expected, lengths = output(encoder)
    got, own = run(encoder, range(3))
    assert torch.equal(lengths, own) and torch.equal(expected, got)


def _rates(variant):
    more = {"stochastic_depth_rate": [0.1, 0.2, 0.3], "cgmlp_weight": [0.2, 1.0, 0.5]}
    more["use_cross_attention"] = [0, 1, 0]
    return {key: rates for key, rates in more.items() if key in VARIANTS[variant][1]}


@pytest.mark.parametrize(
    "variant", ["latest", "transformer", "interctc", "e_branchformer", "branchformer"]
)
def test_views_share_weights(variant):
    encoder = build(variant, num_blocks=4)
    encoder.encoders.layer_drop_rate = 0.9  # of training alone
    whole = output(encoder)[0]
    view = with_blocks(encoder, [0, 2])
    assert torch.equal(output(view)[0], run(encoder, [0, 2])[0])
    assert torch.equal(output(encoder)[0], whole)
    assert view.encoders[2] is encoder.encoders[2]
    blocks = list(encoder.encoders)
    set_blocks(encoder, blocks, [1])
    assert torch.equal(output(encoder)[0], run(view_of(encoder, blocks), [1])[0])
    set_blocks(encoder, blocks, range(4))
    assert torch.equal(output(encoder)[0], whole)


def test_a_cut_encoder_stays_in_its_mode():
    encoder = build("branchformer", num_blocks=3)
    fewer = Structure.dense(encoder).with_widths({"kept_blocks": [0, 2]})
    assert not any(module.training for module in cut(encoder, fewer).modules())


def view_of(encoder, blocks):
    copied = copy.deepcopy(encoder)
    set_blocks(copied, copy.deepcopy(blocks), range(len(blocks)))
    return copied


class Head(torch.nn.Linear):
    """Stands for a CTC module."""

    def softmax(self, x):
        return torch.softmax(self(x), -1)


@pytest.mark.parametrize("family", ["latest", "transformer", "e_branchformer"])
@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [0, 3], [1, 2], [2, 3], [0, 1]])
def test_self_conditioning_stays_in_place(family, kept):
    more = dict(interctc_layer_idx=[1, 3], interctc_use_conditioning=True)
    encoder = build(family, num_blocks=4, **more)
    torch.manual_seed(1)
    ctc = Head(16, 7)
    encoder.conditioning_layer = torch.nn.Linear(7, 16)
    view = with_blocks(encoder, kept)
    expected, _ = output(view, ctc=ctc)
    assert torch.allclose(expected, run(encoder, kept, ctc)[0], atol=1e-6)
    # it does something
    encoder.interctc_use_conditioning = False
    assert not torch.allclose(expected, run(encoder, kept, ctc)[0], atol=1e-3)


def test_moved_taps():
    assert moved_taps([3, 6, 9], [0, 1, 3, 4, 7, 10], True) == [2, 4, 5]
    assert moved_taps([2, 3], [0, 1, 3], False) == [2]
    with pytest.raises(UserError, match="self-conditioned"):
        moved_taps([2, 3], [0, 1, 3], True)


def test_block_numbers():
    assert parse_blocks("1-3,5 8") == [1, 2, 3, 5, 8]
    assert kept_after([2, 4], 5) == [0, 2, 4]
    assert check_blocks([3, 1], 4, "x") == [1, 3]
    for text in ("1-", "a", "1,-2"):
        with pytest.raises(UserError, match="ranges"):
            parse_blocks(text)
    for blocks in ([0], [6], [1, 1], [True], ["2"]):
        with pytest.raises(UserError):
            check_blocks(blocks, 5, "x")
