# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every selector works on blocks with two branches."""

import pytest
import torch

from test.espnet_prune.encoder_zoo import MEL, VARIANTS, randomise, stock_class
from test.espnet_prune.select.families import (
    check_projection_and_magnitude,
    train_and_cut,
)

SOME = ["e_branchformer", "branchformer", "branchformer_learned"]


def larger(variant, blocks=3):
    family, conf = VARIANTS[variant]
    torch.manual_seed(0)
    wide = dict(output_size=32, cgmlp_linear_units=192, num_blocks=blocks)
    return randomise(stock_class(family)(MEL, **{**conf, **wide}))


@pytest.mark.parametrize("variant", SOME)
@pytest.mark.parametrize("kind,tolerance", [("params", 0.01), ("macs", 0.02)])
def test_projection_and_magnitude_meet_the_budget(variant, kind, tolerance):
    check_projection_and_magnitude(larger(variant), kind, tolerance)


@pytest.mark.parametrize("variant", SOME)
def test_gates(variant):
    encoder = larger(variant, blocks=2)
    x, lengths = torch.randn(2, 50, MEL), torch.tensor([50, 33])
    # ESPnet's learned average cannot run in bfloat16
    half = variant != "branchformer_learned"
    small, expected, got = train_and_cut(
        encoder, x, lengths, "cgmlp_channel", steps=150, ramp_steps=100, half=half
    )
    assert torch.allclose(expected, got, atol=1e-5)
    assert not [key for key in small.state_dict() if "gate" in key or "mask" in key]
