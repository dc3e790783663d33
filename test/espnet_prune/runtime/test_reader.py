# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What people write is read by types, and what is not of them is named."""

import dataclasses
from typing import Any, Dict, List, Optional, Tuple, Union

import pytest

from espnet_prune.runtime.reader import described, fits, read_as
from espnet_prune.utils import UserError


@pytest.mark.parametrize(
    "kind, right, wrong",
    [
        (int, [0, -3], [True, 1.0, "1", None, [1]]),
        (float, [0, 1.5, float("inf")], [False, "1e-3", None]),
        (bool, [True], [0, 1, "true"]),
        (str, [""], [1, None]),
        (Optional[int], [None, 2], [2.0, "2"]),
        (Union[int, List[int]], [4, [], [1, 2]], [[1, "a"], 4.5]),
        (Tuple[int, int], [[1, 2], (1, 2)], [[1], [1, 2, 3], [1, "2"], 1]),
        (Tuple[Tuple[int, int], ...], [[], [[1, 2], [3, 4]]], [[1, 2], [[1]]]),
        (Dict[str, Any], [{}, {"a": 1}], [[], "a"]),
        (dict, [{}], [None]),
        (Any, [None, 1, "x"], []),
    ],
)
def test_types(kind, right, wrong):
    assert all(fits(kind, value) for value in right)
    assert not any(fits(kind, value) for value in wrong)
    assert described(kind)


@dataclasses.dataclass
class Conf:
    steps: int
    rate: float = 0.1
    blocks: Union[int, List[int]] = 4


def test_a_sentence_names_file_key_value_and_what_is_wanted():
    assert read_as(Conf, {"steps": 3, "rate": 1}, "a.yaml: conf") == {
        "steps": 3,
        "rate": 1,
    }
    for data, sentence in (
        ({"steps": "3"}, "a.yaml: conf: steps is '3', must be a whole number"),
        ({"steps": 3, "rates": 1}, "a.yaml: conf: unknown key 'rates' .*'rate'"),
        ({}, "a.yaml: conf: key 'steps' is missing"),
        ([1], r"a.yaml: conf is \[1\], must be a mapping"),
        (
            {"steps": 3, "blocks": [1, "a"]},
            r"blocks is \[1, 'a'\], must be a whole number or a list, each a whole",
        ),
    ):
        with pytest.raises(UserError, match=sentence):
            read_as(Conf, data, "a.yaml: conf")
