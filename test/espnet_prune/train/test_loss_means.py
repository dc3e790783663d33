# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest
import torch

from espnet_prune.train.loss_means import LossMeans


def test_scaled_loss_is_about_one_and_keeps_its_gradient_direction():
    means = LossMeans(["a", "b"])
    for value in (300.0, 310.0, 290.0):
        x = torch.tensor(value, requires_grad=True)
        scaled = means("a", x)
        scaled.backward()
        assert scaled.item() == pytest.approx(1.0, abs=0.05)
        assert x.grad == pytest.approx(1 / 300, rel=0.05)
    assert means("b", torch.tensor(0.002)).item() == pytest.approx(1.0)


def test_a_loss_that_grows_from_nothing_stays_limited():
    means = LossMeans(["a"], ratio_limit=2.0)
    for _ in range(50):
        means("a", torch.tensor(1e-3))
    assert means("a", torch.tensor(5.0)).item() <= 2.0


def test_values_that_are_not_finite_do_not_enter():
    means = LossMeans(["a"])
    means("a", torch.tensor(2.0))
    means("a", torch.tensor(float("nan")))
    means("a", torch.tensor(float("inf")))
    assert means.mean.tolist() == [2.0] and means.count.tolist() == [1.0]


def test_state_travels_outside_the_state_dict():
    means, other = LossMeans(["a"]), LossMeans(["a"])
    means("a", torch.tensor(2.0))
    assert means.state_dict() == {}
    other.set_state(means.get_state())
    assert other("a", torch.tensor(3.0)) == means("a", torch.tensor(3.0))
