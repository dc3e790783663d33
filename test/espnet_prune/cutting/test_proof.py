# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the proof of masked = cut takes for equal, and what it does not."""

import pytest
import torch

from espnet_prune import Structure, UserError, cut, unit_graph
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.cutting.verify import compare, in_float64, require_equal
from espnet_prune.units import masked
from test.espnet_prune.encoder_zoo import MEL, build


def case(gain, **more):
    """Return an encoder whose outputs have the size of `gain`, and a cut of it."""
    encoder = build("latest", output_size=64, num_blocks=6, linear_units=96, **more)
    with torch.no_grad():
        for parameter in encoder.after_norm.parameters():
            parameter.mul_(gain)
    graph = unit_graph(encoder)
    structure = Structure.random(encoder, 3)
    masks = soft_masks(graph, structure)
    return encoder, graph, masks, cut(encoder, structure, masks)


@pytest.mark.parametrize("gain", [1e-6, 1.0, 1e4])
def test_the_size_of_the_outputs_does_not_matter(gain):
    encoder, graph, masks, small = case(gain)
    report = compare(encoder, graph, masks, small, trials=2)
    assert report["equal"] and report["finite"] and report["dtype"] == "float64"
    assert 0 < report["relative_diff"] < 1e-7 < report["tolerance"]
    assert gain < report["largest_output"] < 20 * gain
    if gain > 1:  # in float32 they are further apart than any fixed tolerance
        x, lengths = torch.randn(1, 100, MEL), torch.tensor([100])
        with masked(encoder, graph, masks), torch.no_grad():
            expected = encoder(x, lengths)[0]
        assert (expected - small(x, lengths)[0]).abs().max() > 1e-5


@pytest.mark.parametrize("gain", [1e-6, 1.0])
def test_two_units_that_changed_places_are_found(gain):
    encoder, graph, masks, small = case(gain)
    ffn = next(b.feed_forward for b in small.encoders if hasattr(b.feed_forward, "w_2"))
    with torch.no_grad():
        ffn.w_2.weight[:, [0, 1]] = ffn.w_2.weight[:, [1, 0]]
    report = compare(encoder, graph, masks, small, trials=1)
    assert not report["equal"] and report["relative_diff"] > 1e-5
    with pytest.raises(UserError, match="differ by .* of the largest output"):
        require_equal(report)


def test_values_that_are_not_finite_are_no_difference():
    encoder, graph, masks, small = case(1.0)
    for model in (encoder, small):
        model.after_norm.bias.data[0] = float("nan")
    report = compare(encoder, graph, masks, small, trials=1)
    with pytest.raises(UserError, match="masked encoder gives .* not finite"):
        require_equal(report)
    encoder.after_norm.bias.data[0] = 0.0  # now only the cut one
    with pytest.raises(UserError, match="differ by inf"):
        require_equal(compare(encoder, graph, masks, small, trials=1))


def test_encoders_are_left_as_they_were():
    encoder, graph, masks, small = case(1.0)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    named = dict(encoder.named_parameters())
    encoder.train()
    compare(encoder, graph, masks, small, trials=1)
    assert encoder.training and not small.training
    assert all(named[k] is p for k, p in encoder.named_parameters())
    for key, value in encoder.state_dict().items():
        assert value.dtype == before[key].dtype and torch.equal(value, before[key])
    with pytest.raises(KeyError), in_float64(encoder):
        assert encoder.after_norm.weight.dtype == torch.float64
        raise KeyError
    assert encoder.after_norm.weight.dtype == torch.float32
    encoder(torch.randn(1, 50, MEL), torch.tensor([50]))
