# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What calibration gathers: columns that reproduce the layers, moments, gradients."""

import pytest
import torch
from torch import nn

from espnet_prune.select.obs import statistics
from espnet_prune.select.obs.readers import columns, output_rows
from espnet_prune.select.obs.removal import (
    Layer,
    damped,
    removal_curve,
    solve,
)
from espnet_prune.select.obs.statistics import Moments, gathering

LAYERS = {
    "linear": lambda: nn.Linear(6, 5),
    "pointwise": lambda: nn.Conv1d(6, 5, 1),
    "conv1d": lambda: nn.Conv1d(6, 5, 4, stride=3, padding=2, dilation=2),
    "no_bias": lambda: nn.Conv1d(6, 5, 3, stride=2, bias=False),
    "strided_point": lambda: nn.Conv1d(6, 5, 1, stride=2),
    "conv2d": lambda: nn.Conv2d(6, 5, 3, stride=2),
    "conv2d_uneven": lambda: nn.Conv2d(
        6, 5, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)
    ),
}


def read(layer, count=2, seed=0):
    """Return a random input of a layer."""
    random = torch.Generator().manual_seed(seed)
    shape = {nn.Linear: (17, 6), nn.Conv1d: (6, 17), nn.Conv2d: (6, 17, 9)}
    return torch.randn(count, *shape[type(layer)], generator=random)


@pytest.fixture(params=LAYERS)
def layer(request):
    torch.manual_seed(0)
    return LAYERS[request.param]()


def test_columns_reproduce_the_layer(layer):
    x = read(layer)
    y = columns(layer, x).flatten(0, 1) @ layer.weight.flatten(1).T
    if layer.bias is not None:
        y = y + layer.bias
    assert torch.allclose(y, output_rows(layer, layer(x)), atol=1e-5)


def test_moments_are_those_of_the_columns(layer):
    layer, x = layer.double(), read(layer, 3).double()
    rows = columns(layer, x).flatten(0, 1).double()
    found = Moments(layer)
    for one in x:
        found.add(layer, one[None])
    assert found.count == len(rows)
    assert torch.allclose(found.mean(), rows.mean(0))
    assert torch.allclose(found.second(False), rows.T @ rows / len(rows))
    assert torch.allclose(found.second(True), torch.cov(rows.T, correction=0))


def gathered(layer, batches):
    """Return the moments after batches went forward, and a loss backward."""
    with gathering({"": layer}, {}) as found:
        for x in batches:
            layer(x).square().sum().backward()
    return found[""]


def test_grouping_makes_no_difference(layer):
    layer, x = layer.double(), read(layer, 4).double()
    alone, pairs = gathered(layer, x.split(1)), gathered(layer, x.split(2))
    assert alone.count == pairs.count
    for name in ("total", "gram", "fisher"):
        assert torch.allclose(getattr(alone, name), getattr(pairs, name), rtol=1e-9)
    weight, kept = layer.weight.detach().flatten(1).double(), torch.tensor([0, 2, 3])
    new = [solve(weight, damped(m.second(True)), kept) for m in (alone, pairs)]
    assert torch.allclose(*new, rtol=1e-8)


def test_gradients_are_those_of_the_output(layer):
    x = read(layer, 2)
    wanted = (2 * output_rows(layer, layer(x))).double().square().sum(0)
    assert torch.allclose(gathered(layer, [x]).fisher, wanted, rtol=1e-4)
    assert not layer._forward_hooks


def test_long_utterances_are_thinned_evenly(monkeypatch):
    """One of them counts at most MOST_ROWS rows, whatever stands beside it."""
    monkeypatch.setattr(statistics, "MOST_ROWS", 6)
    layer = nn.Linear(6, 5)
    x = read(layer, 2)
    found = gathered(layer, [x])
    rows = x[:, ::3].flatten(0, 1).double()  # 6 of 17
    assert found.count == len(rows) == 12
    assert torch.allclose(found.gram, rows.T @ rows)
    assert torch.allclose(found.gram, gathered(layer, x.split(1)).gram)


def test_inputs_that_never_change_cost_nothing():
    """A bias stands in for them, whatever rounding leaves of their covariance."""
    layer = nn.Linear(8, 5).double()
    random = torch.Generator().manual_seed(0)
    x = 100 * torch.rand(1, 1, 8, generator=random).double()
    found = Moments(layer)
    for rows in (7, 11, 13):
        found.add(layer, x.expand(1, rows, 8))
    second = damped(found.second(centred=True))
    curve = removal_curve([Layer(layer.weight.detach(), second.clone(), 1)])
    assert curve.errors[-1] < 1e-6


def test_what_is_gathered_can_be_stored(layer):
    x = read(layer)
    found = gathered(layer, [x])
    stored = {name: value.clone() for name, value in found.state().items()}
    again = Moments.from_state(stored)
    again.add(layer, x), found.add(layer, x)
    assert again.count == found.count and torch.equal(again.gram, found.gram)
    assert isinstance(again.count, int)
