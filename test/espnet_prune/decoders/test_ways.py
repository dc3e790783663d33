# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A cut decoder scores the same in every way in which ESPnet decodes."""

import pytest
import torch

from espnet_prune import Structure, cut
from test.espnet_prune.decoders.zoo import VARIANTS, WAYS, build, forced, sequence

# those that a beam search can ask for scores
SCORED = sorted(set(VARIANTS) - {"hidden", "vectors"})


@pytest.mark.parametrize("variant", SCORED)
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_all_ways_agree(variant, seed):
    decoder = build(variant).double()
    if seed is not None:
        decoder = cut(decoder, Structure.random(decoder, seed))
    memory, ys = sequence()
    with torch.no_grad():
        expected = forced(decoder, memory.double(), ys)
        for way in WAYS[1:]:
            got = way(decoder, memory.double(), ys)
            assert torch.allclose(got, expected, atol=1e-9), way.__name__
