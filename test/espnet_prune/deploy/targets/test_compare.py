# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What another runtime hears is compared, and what differs is refused or explained."""

import re

import numpy as np
import pytest

from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.targets import compare as module
from espnet_prune.deploy.targets.compare import compare
from espnet_prune.deploy.targets.sherpa.raw import Raw
from espnet_prune.deploy.targets.target import Part
from test.espnet_prune.deploy.targets.spelled import Ends, spoken, write_model

TOKENS = ["<blank>", "<space>", "A", "B"]


def compared(tmp_path, monkeypatch, theirs, precision="fp32", close=()):
    """Compare what all of ours say, 'A B', with texts of another runtime."""
    files = {"model": {"fp32": "model.onnx", "int8": "model.onnx"}}
    out = write_model(tmp_path / "out", TOKENS, files=files)
    speech = {str(i): spoken([1, 2, 1, 3]) for i in range(len(theirs))}
    for name in close:
        speech[name] = np.append(speech[name], spoken([2.499]))[: 5 * 32]
    monkeypatch.setattr(module, "heard", lambda *_: list(theirs))
    return compare(Raw(), tmp_path, out, Part("", precision), speech)


def test_a_space_before_a_text_is_none(tmp_path, monkeypatch):
    found = compared(tmp_path, monkeypatch, ["A B"])
    assert (found["alike"], found["of"], found["differ"]) == (1, 1, [])


@pytest.mark.parametrize("text", ["A  B", "A B ", "AB", "a b", ""])
def test_any_difference_in_fp32_is_refused(tmp_path, monkeypatch, text):
    told = f"1 of 3 texts in fp32 .* of 1: '{text}' instead of ' A B', where they are 2"
    with pytest.raises(NotProven, match=told):
        compared(tmp_path, monkeypatch, ["A B", text, "A B"])


def test_int8_may_choose_where_two_tokens_are_close(tmp_path, monkeypatch):
    texts = ["A B", "A BB", *["A BA"] * 38]
    close = [str(i) for i in range(1, 40)]
    found = compared(tmp_path, monkeypatch, texts, "int8", close)
    row = found["differ"][0]
    assert found["alike"] == 39 and (row["ours"], row["theirs"]) == (" A BA", "A BB")
    assert row["utterance"] == "1" and 0 < row["gap"] < 0.1
    # not where they are far apart
    with pytest.raises(NotProven, match="1 of 40 texts in int8 .* of 0: 'C' instead"):
        compared(tmp_path, monkeypatch, ["C", *["A BA"] * 39], "int8", close)
    # nor often
    with pytest.raises(NotProven, match=re.escape("3 of 40 texts in int8 are others")):
        compared(tmp_path, monkeypatch, ["A B", *["?"] * 3, *texts[4:]], "int8", close)


def test_a_runtime_that_gives_up_is_told(tmp_path):
    out = write_model(tmp_path / "out", TOKENS)
    with pytest.raises(NotProven, match="ends: the runtime gave up on its files"):
        compare(Ends(), tmp_path, out, Part("", "fp32"), {"a": spoken([2])})
