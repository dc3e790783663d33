# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pieces of long audio, and how their tokens become one text."""

import numpy as np
import pytest

from espnet_prune.runtime.long import Token, joined, pieces


def tokens(text, start=0.0, step=0.1):
    """Return letters as tokens, one each `step` seconds; spaces are silence."""
    every = enumerate(text)
    return [Token(ord(c), round(start + i * step, 3)) for i, c in every if c != " "]


def said(found):
    """Return the letters of tokens."""
    return "".join(chr(token.id) for token in found)


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 160, 161, 455, 460, 461])
@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_pieces_cover_everything(length, block):
    samples = np.arange(length, dtype=np.float32)
    blocks = [samples[i : i + block] for i in range(0, length, block)]
    found = list(pieces(blocks, size=100, overlap=40, shortest=30))
    assert found[0].first == 0 and sum(p.first == 0 for p in found) == 1
    for piece in found:
        end = piece.first + len(piece.samples)
        assert np.array_equal(piece.samples, samples[piece.first : end])
    for piece, following in zip(found, found[1:]):
        assert len(piece.samples) == 100
        assert piece.first + 100 - following.first >= 40
    assert found[-1].first + len(found[-1].samples) == length
    assert len(found) == (1 if length <= 100 else 1 + -(-(length - 100) // 60))


def test_a_last_piece_that_is_too_short_reaches_back():
    found = list(pieces([np.arange(101.0)], size=100, overlap=2, shortest=30))
    assert (found[1].first, len(found[1].samples)) == (71, 30)


def test_pieces_do_not_hold_the_whole():
    held = []

    def blocks():
        for i in range(1000):
            held.append(i)
            yield np.zeros(10, np.float32)

    first = next(pieces(blocks(), size=100, overlap=40))
    assert len(first.samples) == 100 and len(held) <= 11


def test_pieces_are_joined_where_they_agree():
    # at both ends of a piece letters are wrong, as they are
    before = tokens("abcdefghijkXY")
    after = tokens("ZWhijklmnop", start=0.5)
    assert said(joined(before, after, 0.5, 1.3)) == "abcdefghijklmnop"


def test_the_longest_agreement_counts():
    # both hear "Q", but agree on more of what follows
    before, after = tokens("aQbcdefXY"), tokens("QZcdefgh", start=0.1)
    assert said(joined(before, after, 0.1, 0.9)) == "aQbcdefgh"


def test_repetitions_are_told_apart_by_time():
    before = tokens("one one one one ")
    after = tokens("one one one", start=0.8)
    assert said(joined(before, after, 0.8, 1.6)) == "one" * 5


def test_times_may_differ_a_little():
    before = tokens("abcdefghij")
    after = [Token(t.id, t.time + 0.08) for t in tokens("fghijklm", start=0.5)]
    assert said(joined(before, after, 0.5, 1.0)) == "abcdefghijklm"


def test_without_agreement_the_middle_of_the_time_counts():
    before, after = tokens("abcdefghij"), tokens("QRSTUVW", start=0.6)
    assert said(joined(before, after, 0.6, 1.0)) == "abcdefghSTUVW"
    assert said(joined(before, [], 0.6, 1.0)) == "abcdefgh"
    assert said(joined([], after, 0.6, 1.0)) == "STUVW"
