# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch

from espnet_prune.select.l0.hard_concrete import (
    SHIFT,
    initial_theta,
    open_probability,
    sample,
    soft_value,
)


def test_reference_values():
    assert SHIFT == pytest.approx(1.598597, abs=1e-6)
    for drop, theta, q, soft in (
        (0.01, 4.595, 0.99796, 0.99599),
        (0.5, 0.0, 0.83182, 0.5),
    ):
        assert initial_theta(drop) == pytest.approx(theta, abs=1e-3)
        start = torch.tensor([initial_theta(drop)])
        assert float(open_probability(start)) == pytest.approx(q, abs=1e-5)
        assert float(soft_value(start)) == pytest.approx(soft, abs=1e-5)


@pytest.mark.parametrize("theta", [-2.0, 0.0, 1.0, 4.595])
def test_samples_follow_the_closed_forms(theta):
    n = 200_000
    u = torch.rand(n, generator=torch.Generator().manual_seed(0))
    z = sample(torch.full((n,), theta), u)
    q = float(open_probability(torch.tensor(theta)))
    ones = float(torch.sigmoid(torch.tensor(theta - SHIFT)))
    for frequency, p in (
        (float((z > 0).float().mean()), q),
        (float((z == 1).float().mean()), ones),
    ):
        assert abs(frequency - p) <= 4 * (p * (1 - p) / n) ** 0.5 + 1e-6


def test_extreme_noise_is_harmless():
    z = sample(torch.zeros(2, requires_grad=True), torch.tensor([0.0, 1.0]))
    assert z.tolist() == [0.0, 1.0]
    z.sum().backward()
