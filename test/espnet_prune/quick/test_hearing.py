# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Errors and changes of texts, without any model."""

import pytest

from espnet_prune.quick.hearing import Hearing
from espnet_prune.quick.table import changes, errors


def hearing(texts):
    """Return a judge of texts that are given."""
    found = object.__new__(Hearing)
    found.texts, found.config = texts, {}
    return found


DENSE = {"a": "one two", "b": "three", "c": "four five"}
CUT = {"a": "one too", "b": "three", "c": "four"}


def test_against_transcripts_and_against_the_dense_model():
    texts = {"a": "ONE TWO", "b": "three", "c": "four six"}
    score = hearing(texts).score({"before": DENSE, "after": CUT})
    assert score["measure"] == "wer" and score["utterances"] == 3
    rates = {name: row["rate"] for name, row in score["errors"].items()}
    assert rates == {"before": 20.0, "after": 40.0}
    assert score["errors"]["after"]["against"]["difference"] == pytest.approx(20.0)
    assert score["agreement"]["after"]["rate"] == 40.0
    low, high = score["errors"]["after"]["interval"]
    assert 0 <= low < 40 < high <= 100
    rows = errors(score, ["before", "after"])
    assert [row[0] for row in rows] == [
        "WER, %",
        "WER against before",
        "words unlike before's, %",
    ]


def test_without_transcripts_and_without_blanks():
    score = hearing({}).score({"before": {"a": "你好"}, "after": {"a": "你"}})
    assert score["measure"] == "cer" and "errors" not in score
    assert score["agreement"]["after"]["rate"] == 50.0
    assert errors(score, ["before", "after"])[0][0].startswith("characters unlike")


def test_nothing_heard_is_no_division_by_zero():
    score = hearing({}).score({"before": {"a": ""}, "after": {"a": "x"}})
    assert score["agreement"]["after"]["rate"] == 100.0


def test_up_to_ten_changes_are_shown():
    dense = {f"u{i:02d}": f"w{i}" for i in range(40)}
    cut = {key: text + "x" * (i % 2) for i, (key, text) in enumerate(dense.items())}
    rows = hearing({"u01": "word"}).changed(dense, cut)
    assert len(rows) == 10 and rows[0] == {
        "utterance": "u01",
        "before": "w1",
        "after": "w1x",
        "transcript": "word",
    }
    assert "20 of 40 utterances changed; 10 of them" in changes(rows, 20, 40)
    assert hearing({}).changed(dense, dense) == []
    assert changes([], 0, 40) == "No text of 40 utterances changed."
