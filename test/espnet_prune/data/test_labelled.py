# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which labelled utterances are taken of a set."""

import pytest

from espnet_prune.data import speech


@pytest.mark.parametrize(
    "most, keys, taken",
    [(4, None, "acfh"), (20, None, "abcdefghij"), (2, list("bdfh"), "bf")],
)
def test_they_are_evenly_spaced(monkeypatch, most, keys, taken):
    data = {key: (key, {}) for key in "abcdefghij"}
    monkeypatch.setattr(speech, "open_speech", lambda *args, **labels: (data, None))
    found = speech.Labelled([], {}, most, keys)
    assert "".join(key for key, _ in found) == taken and len(found) == len(taken)
