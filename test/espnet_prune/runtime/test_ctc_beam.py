# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""CTC prefix beam search against all paths there are."""

import itertools

import numpy as np
import pytest

from espnet_prune.runtime.ctc_beam import align, ctc_prefix_beam


def log_probs(frames, tokens, seed, sharp=2.0):
    scores = np.random.default_rng(seed).normal(size=(frames, tokens)) * sharp
    return (scores - np.logaddexp.reduce(scores, 1, keepdims=True)).astype(np.float32)


def spelled(path, blank):
    return tuple(token for token, _ in itertools.groupby(path) if token != blank)


def all_texts(logs, blank):
    """Return {tokens: probability of all of its paths}."""
    found = {}
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        text = spelled(path, blank)
        score = sum(float(logs[t, token]) for t, token in enumerate(path))
        found[text] = np.logaddexp(found.get(text, -np.inf), score)
    return found


@pytest.mark.parametrize("frames, tokens, blank", [(5, 4, 0), (6, 3, 2), (1, 4, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_a_huge_beam_finds_the_likeliest_text(frames, tokens, blank, seed):
    logs = log_probs(frames, tokens, seed, sharp=0.7)
    texts = all_texts(logs, blank)
    likeliest = max(texts, key=texts.get)

    found, score, times = ctc_prefix_beam(logs, blank, beam=5000)

    assert tuple(found) == likeliest
    assert score == pytest.approx(texts[likeliest], abs=1e-6)
    assert len(times) == len(found) and times == sorted(set(times))


def test_all_paths_are_followed_where_the_beam_has_room():
    from espnet_prune.runtime.ctc_beam import _PrefixBeam

    logs, blank = log_probs(5, 3, seed=1), 0
    search = _PrefixBeam(blank)
    for frame in logs.astype(float):
        search.step(frame, np.array([1, 2]), beam=1000)
    found = {
        tuple(search.tree.spelled(node)): score
        for node, score in zip(search.nodes, search.scores())
        if score > -1e9
    }

    assert found == pytest.approx(all_texts(logs, blank), abs=1e-6)


def slow_prefix_beam(logs, blank, beam):
    """The textbook's form, one token after the other."""
    hypotheses = {(): (0.0, -np.inf)}
    for frame in logs.astype(float):
        new = {}

        def add(text, in_blank, in_label):
            old = new.get(text, (-np.inf, -np.inf))
            new[text] = np.logaddexp(old[0], in_blank), np.logaddexp(old[1], in_label)

        for text, (in_blank, in_label) in hypotheses.items():
            total = np.logaddexp(in_blank, in_label)
            add(text, total + frame[blank], -np.inf)
            for token in range(len(frame)):
                if token == blank:
                    continue
                if text and token == text[-1]:
                    add(text, -np.inf, in_label + frame[token])
                    add((*text, token), -np.inf, in_blank + frame[token])
                else:
                    add((*text, token), -np.inf, total + frame[token])
        ranked = sorted(new, key=lambda text: -np.logaddexp(*new[text]))
        hypotheses = {text: new[text] for text in ranked[:beam]}
    text = max(hypotheses, key=lambda text: np.logaddexp(*hypotheses[text]))
    return text, np.logaddexp(*hypotheses[text])


@pytest.mark.parametrize("beam", [1, 2, 3, 8])
@pytest.mark.parametrize("tokens", [3, 12, 40])
def test_a_small_beam_keeps_what_the_textbook_keeps(beam, tokens):
    for seed in range(4):
        logs = log_probs(30, tokens, seed)
        text, score = slow_prefix_beam(logs, 0, beam)

        found, ours, _ = ctc_prefix_beam(logs, 0, beam)

        assert tuple(found) == text
        assert ours == pytest.approx(score, abs=1e-4)


def test_silence_is_no_text():
    logs = np.log(np.tile([0.98, 0.01, 0.01], (9, 1)))

    tokens, score, times = ctc_prefix_beam(logs, 0, beam=4)

    assert (tokens, times) == ([], [])
    assert score == pytest.approx(9 * np.log(0.98))


def test_no_frames_and_no_tokens_but_blank():
    assert ctc_prefix_beam(np.zeros((0, 4)), 0, 3) == ([], 0.0, [])
    assert ctc_prefix_beam(np.zeros((2, 1)), 0, 3)[0] == []


@pytest.mark.parametrize("seed", range(4))
def test_frames_are_those_of_the_likeliest_path(seed):
    logs, blank = log_probs(7, 3, seed), 0
    text = (1, 1, 2)
    paths = itertools.product(range(3), repeat=len(logs))
    paths = [path for path in paths if spelled(path, blank) == text]
    path = max(paths, key=lambda path: sum(logs[np.arange(len(logs)), path]))
    before = (blank, *path)
    begins = [t for t, c in enumerate(path) if c not in (blank, before[t])]

    assert align(logs, text, blank) == begins


def test_tokens_that_do_not_fit_are_spread():
    assert align(log_probs(2, 3, 0), [1, 1], 0) == [0, 1]
    assert align(log_probs(0, 3, 0), [1], 0) == [0]
