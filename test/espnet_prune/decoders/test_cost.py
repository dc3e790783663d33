# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Formula = reality for decoders: MACs against those counted token by token."""

import pytest
from torch import nn

from espnet_prune import Structure, cost, cut
from espnet_prune.families.decoder import ANEW
from test.espnet_prune.decoders.zoo import VARIANTS, build, counted_macs

FRAMES = 40
SCORED = sorted(set(VARIANTS) - {"hidden", "vectors"})


@pytest.mark.parametrize("variant", SCORED)
@pytest.mark.parametrize("tokens,beam", [(1, 1), (7, 1), (6, 3)])
def test_macs_and_params(variant, tokens, beam):
    dense = build(variant)
    for seed in (None, 3, 4):
        drawn = Structure.dense(dense) if seed is None else None
        decoder = cut(dense, drawn or Structure.random(dense, seed))
        structure = Structure.dense(decoder).with_tokens(tokens / FRAMES, beam)
        whole, again = counted_macs(decoder, tokens, beam, FRAMES)
        assert cost(structure, FRAMES).macs == whole - again
        stack = structure["decoder"]
        stack.price = stack.price.with_clock(uses=ANEW)
        assert cost(structure, FRAMES).macs == whole
        numel = sum(p.numel() for p in decoder.parameters())
        assert cost(structure, FRAMES, "decoder").params == numel


def test_the_output_layer_is_in_it():
    decoder, bare = build(), build("hidden")
    assert isinstance(decoder.output_layer, nn.Linear)
    left = cost(decoder).macs - cost(bare).macs
    assert left == 50 * decoder.output_layer.weight.numel()  # 5 tokens/s over 10 s
