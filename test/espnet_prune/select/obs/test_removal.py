# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The algebra of removing units: exact errors, order, weights."""

import itertools

import pytest
import torch

from espnet_prune.select.obs import removal
from espnet_prune.select.obs.removal import Layer, damped, removal_curve, solve

CASES = 300  # of which no seed is chosen


def problem(seed, units=5, group=1, out=4, rows=80):
    """Return inputs whose columns can stand in for each other, weight, bias, fisher."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    columns = units * group
    x = normal(rows, columns) @ normal(columns, columns) + normal(columns)
    return x, normal(out, columns), normal(out), normal(out).square()


def moments(x, bias):
    centred = x - x.mean(0) if bias is not None else x
    return centred.T @ centred / len(x)


def brute_force(x, weight, bias, fisher, kept):
    """Return the least error of y = W x + b on some columns, and on 1 with a bias."""
    y = x @ weight.T
    read = x[:, kept]
    if bias is not None:
        y, read = y + bias, torch.cat([read, torch.ones(len(x), 1).double()], 1)
    rest = y
    if read.shape[1]:
        rest = y - read @ torch.linalg.lstsq(read, y, driver="gelsd").solution
    return float((rest.square().mean(0) * fisher).sum())


def kept_columns(removed, units, group):
    kept = [u for u in range(units) if u not in removed]
    return torch.tensor([u * group + i for u in kept for i in range(group)]).long()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("group", [1, 3])
def test_errors_are_those_of_least_squares_for_every_subset(bias, group):
    units = 4
    x, weight, b, fisher = problem(1, units, group)
    b = b if bias else None
    second, scaled = moments(x, b), weight * fisher.sqrt()[:, None]
    for number in range(1, units + 1):
        for removed in itertools.permutations(range(units), number):
            layer, error = Layer(scaled, second.clone(), group), 0.0
            for unit in removed:
                error += float(layer.errors()[unit])
                layer.remove(torch.tensor([unit]))
            kept = kept_columns(removed, units, group)
            exact = brute_force(x, weight, b, fisher, kept)
            assert error == pytest.approx(exact, rel=1e-8, abs=1e-9)
            if not len(kept):
                continue
            new = solve(weight, second, kept)
            shift = (weight @ x.mean(0) - new @ x[:, kept].mean(0)) if bias else 0.0
            rest = x @ weight.T - x[:, kept] @ new.T - shift
            own = float((rest.square().mean(0) * fisher).sum())
            assert own == pytest.approx(exact, rel=1e-8, abs=1e-9)


def test_an_output_that_goes_along_does_not_count():
    """Outputs that are the units', too: only those that stay have an error."""
    units = 5
    x, weight, b, fisher = problem(7, units, out=units)
    scaled, second = weight * fisher.sqrt()[:, None], moments(x, b)
    for order in itertools.permutations(range(units), 3):
        layer = Layer(scaled, second.clone(), 1, own=True)
        for position, unit in enumerate(order):
            gone = order[: position + 1]
            stay = torch.tensor([o for o in range(units) if o not in gone])
            given = x, weight[stay], b[stay], fisher[stay]
            errors = [
                brute_force(*given, kept_columns(some, units, 1))
                for some in (gone[:-1], gone)
            ]
            found = float(layer.errors()[unit])
            assert found == pytest.approx(errors[1] - errors[0], rel=1e-7, abs=1e-9)
            layer.remove(torch.tensor([unit]))
        left = torch.tensor([u for u in range(units) if u not in order])
        before = layer.errors()[left]
        layer.keep(left)
        assert layer.weight.shape == (2, 2)
        assert torch.allclose(layer.errors(), before)


@pytest.mark.parametrize("group, times", [(1, 9), (3, 9), (1, 4), (3, 2), (1, 1)])
def test_a_curve_is_exact_and_rises(group, times, monkeypatch):
    """Also over several readers, and where matrices have shrunk on the way.

    As often as `times` some go at once: what they cost is as exact.
    """
    monkeypatch.setattr(removal, "WIDE", 9)
    monkeypatch.setattr(removal, "TIMES", times)
    units = 9
    first, other = (problem(seed, units, group) for seed in (2, 3))
    made = [
        Layer(w * f.sqrt()[:, None], moments(x, b), group)
        for x, w, b, f in (first, other)
    ]
    curve = removal_curve(made)
    assert sorted(curve.order) == list(range(units))
    assert curve.errors[0] == 0.0 and sorted(curve.errors) == curve.errors
    for number in range(1, units + 1):
        kept = kept_columns(curve.order[:number], units, group)
        exact = sum(brute_force(*given, kept) for given in (first, other))
        assert curve.errors[number] == pytest.approx(exact, rel=1e-8)


def test_keeping_all_columns_changes_nothing():
    x, weight, _, _ = problem(4, units=12)
    everything = torch.arange(12)
    assert torch.allclose(solve(weight, moments(x, 0), everything), weight, atol=1e-10)


def test_what_is_there_twice_costs_nothing():
    x, weight, bias, fisher = problem(5, units=6)
    twice = torch.cat([x, x], 1)
    weight = torch.cat([weight, weight.flip(0)], 1)
    second = damped(moments(twice, bias), 1e-10)
    curve = removal_curve([Layer(weight * fisher.sqrt()[:, None], second.clone(), 1)])
    assert curve.errors[6] <= 1e-6 * curve.errors[-1]
    assert {unit % 6 for unit in curve.order[:6]} == set(range(6))
    assert curve.errors[7] > 1e4 * curve.errors[6]


def test_damping_is_a_share_of_the_mean_and_inverts_what_never_moves():
    x = problem(6, units=3)[0]
    second = moments(x, 0)
    assert torch.allclose(
        damped(second, 0.1) - second,
        0.1 * second.diagonal().mean() * torch.eye(3).double(),
    )
    weight, dead = torch.ones(2, 3).double(), damped(torch.zeros(3, 3).double())
    assert removal_curve([Layer(weight, dead, 1)]).errors[-1] < 1e-20


def best(layer, number):
    """Return the least error of removing so many units, over all subsets."""
    sets = list(itertools.combinations(range(len(layer.inverse)), number))
    index = torch.tensor(sets)
    own = layer.inverse[index[:, :, None], index[:, None, :]]
    columns = layer.weight.T[index]  # (sets, number, out)
    return float((columns * torch.linalg.solve(own, columns)).sum((1, 2)).min())


def test_greedy_is_near_the_optimum():
    """Greedy is not exact: the distribution is printed, and its median judged."""
    ratios = []
    for seed in range(CASES):
        units = 6 + seed % 3
        x, weight, bias, fisher = problem(seed, units, rows=40)
        layer = Layer(weight * fisher.sqrt()[:, None], moments(x, bias), 1)
        number = 1 + seed % (units - 1)
        least = best(layer, number)
        ratios.append(removal_curve([layer]).errors[number] / least)
    found = torch.tensor(ratios).double().sort().values
    assert found[0] > 1 - 1e-6
    told = {
        f"{p} %": round(float(found[p * CASES // 100]), 3) for p in (50, 75, 90, 95)
    }
    print(f"greedy against the optimum: {told}, at most {float(found[-1]):.3f}")
    assert found.median() <= 1.05
