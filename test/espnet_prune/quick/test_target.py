# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is to remain, in a word."""

import pytest

from espnet_prune.quick.target import FORMS, parse_target
from espnet_prune.select.budget import Budget
from espnet_prune.utils import UserError


@pytest.mark.parametrize(
    "text, budget",
    [
        ("50%macs", {"kind": "macs", "sparsity": 0.5}),
        ("30%params", {"kind": "params", "sparsity": 0.7}),
        (" 12.5 % Params ", {"kind": "params", "sparsity": 0.875}),
        ("50%ms", {"kind": "ms", "sparsity": 0.5}),
        ("40ms", {"kind": "ms", "limit": 40.0}),
    ],
)
def test_shares_and_times(text, budget):
    assert parse_target(text).budget == budget
    assert Budget.from_conf(budget).targets[0].kind == budget["kind"]


@pytest.mark.parametrize(
    "text, kind, amount",
    [
        ("800kparams", "params", 8e5),
        ("1.2Mparams", "params", 1.2e6),
        ("2Gmacs", "macs", 2e9),
        ("900kMACs", "macs", 9e5),
    ],
)
def test_amounts(text, kind, amount):
    assert parse_target(text).budget == {"kind": kind, "limit": amount}


@pytest.mark.parametrize("text", ["half", "50", "50%", "50%flops", "-5%macs", "1e5ms"])
def test_anything_else_gets_the_forms(text):
    with pytest.raises(UserError) as error:
        parse_target(text)
    assert FORMS in str(error.value) and f"--target {text}" in str(error.value)


@pytest.mark.parametrize(
    "text, said",
    [
        ("100%params", "less than 100 percent"),
        ("0%macs", "more than 0"),
        ("0ms", "more than nothing"),
        ("300macs", "one of 50%macs, 2Gmacs"),
        ("4kms", "one of 50%ms, 40ms"),
    ],
)
def test_amounts_that_are_none(text, said):
    with pytest.raises(UserError, match=said):
        parse_target(text)
