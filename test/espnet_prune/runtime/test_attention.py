# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Attention decoding finds what ESPnet's beam search finds, with the same scores."""

import importlib
import itertools

import numpy as np
import pytest
import torch

from espnet_prune.compat import TransformerDecoder
from espnet_prune.runtime.attention import Attention
from test.espnet_prune.runtime.sessions import DecoderStep, Memory

VOCABULARY, WIDTH = 12, 8
SPECIAL = {"sos": VOCABULARY - 1, "eos": VOCABULARY - 1, "blank": 0}


def legacy(name, attribute):
    """Return what is in one place in 202511 and in another in 202611."""
    try:
        module = importlib.import_module(f"espnet.nets.{name}")
    except ModuleNotFoundError:
        module = importlib.import_module(f"espnet2.legacy.nets.{name}")
    return getattr(module, attribute)


class Ctc:
    """CTC of which the log-probabilities are given."""

    def __init__(self, log_probs):
        self.log_probs = torch.from_numpy(log_probs)

    def log_softmax(self, x):
        return self.log_probs[None, : x.shape[1]].clone()


def espnet(decoder, encoder_out, log_probs, beam, ctc_weight, penalty=0.0, **lengths):
    """Search as Speech2Text does."""
    scorers = {
        "decoder": decoder,
        "ctc": legacy("scorers.ctc", "CTCPrefixScorer")(Ctc(log_probs), SPECIAL["eos"]),
        "length_bonus": legacy("scorers.length_bonus", "LengthBonus")(VOCABULARY),
    }
    weights = dict(decoder=1.0 - ctc_weight, ctc=ctc_weight, length_bonus=penalty)
    search = legacy("batch_beam_search", "BatchBeamSearch")(
        scorers,
        weights,
        beam_size=beam,
        vocab_size=VOCABULARY,
        sos=SPECIAL["sos"],
        eos=SPECIAL["eos"],
        pre_beam_score_key=None if ctc_weight == 1.0 else "full",
    )
    with torch.no_grad():
        return search(x=torch.from_numpy(encoder_out), **lengths)


def utterance(frames, seed, sharp=3.0):
    """Return encoder_out (T, D) and log-probabilities (T, V), blank often likeliest."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(frames, VOCABULARY)) * sharp
    scores[:, 0] += 3.0
    log_probs = scores - np.logaddexp.reduce(scores, 1, keepdims=True)
    encoder_out = generator.normal(size=(frames, WIDTH))
    return encoder_out.astype(np.float32), log_probs.astype(np.float32)


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    decoder = TransformerDecoder(
        VOCABULARY, WIDTH, attention_heads=2, linear_units=8, num_blocks=2
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2.0)
    return decoder.eval()


@pytest.fixture(scope="module")
def attention(decoder):
    return Attention({"memory": Memory(), "decoder": DecoderStep(decoder)}, SPECIAL)


def spelled(found):
    """Return the tokens as Speech2Text gives them."""
    left = (SPECIAL["blank"], SPECIAL["eos"])
    return [token for token in found.yseq[1:].tolist() if token not in left]


SETTINGS = {
    "as usual": (10, 0.3, {}),
    "narrow": (2, 0.3, {}),
    "one": (1, 0.5, {}),
    "wider than half the tokens": (8, 0.4, {}),
    "as wide as the tokens": (11, 0.4, {}),
    "attention alone": (4, 0.0, {}),
    "ctc alone": (3, 1.0, {}),
    "bonus": (5, 0.3, {"penalty": 0.7}),
    "malus": (5, 0.3, {"penalty": -1.5}),
    "short": (5, 0.3, {"maxlenratio": 0.3}),
    "two tokens at most": (5, 0.3, {"maxlenratio": -2}),
    "long": (5, 0.3, {"minlenratio": 0.5, "penalty": -2.0}),
    "four tokens at least": (5, 0.3, {"minlenratio": -4, "penalty": -2.0}),
    "longer than can be": (4, 0.3, {"maxlenratio": 0.4, "minlenratio": 0.7}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_same_as_espnet(decoder, attention, name):
    beam, ctc_weight, others = SETTINGS[name]
    for frames, seed in [(1, 0), (2, 1), (9, 2), (30, 1)]:
        given = utterance(frames, seed)
        theirs = espnet(decoder, *given, beam, ctc_weight, **others)

        ours = attention.beam(*given, beam, ctc_weight, **others)

        assert len(ours) == len(theirs)
        possible = [one for one in theirs if one.score > -1e8]
        for found, one in zip(ours, possible):
            assert found.tokens == spelled(one)
            assert found.score == pytest.approx(float(one.score), abs=2e-3)


def test_greedy_takes_the_likeliest(decoder, attention):
    encoder_out, _ = utterance(14, seed=5)
    memory, tokens = torch.from_numpy(encoder_out)[None], [SPECIAL["sos"]]
    while len(tokens) <= 14 and (len(tokens) == 1 or tokens[-1] != SPECIAL["eos"]):
        before = torch.tensor([tokens])
        mask = torch.ones(len(tokens), len(tokens)).bool().tril()[None]
        with torch.no_grad():
            scores, _ = decoder.forward_one_step(before, mask, memory)
        tokens.append(int(scores.argmax()))
    likeliest = [token for token in tokens if token not in SPECIAL.values()]

    assert attention.greedy(encoder_out).tokens == likeliest


def test_a_beam_of_everything_finds_the_best_there_is(decoder, attention):
    # ESPnet ends with an error of topk where the beam is wider than the vocabulary
    frames, weight = 3, 0.3
    encoder_out, log_probs = utterance(frames, seed=2, sharp=1.0)
    texts = {}
    for path in itertools.product(range(VOCABULARY - 1), repeat=frames):
        text = tuple(token for token, _ in itertools.groupby(path) if token != 0)
        score = log_probs[np.arange(frames), path].sum()
        texts[text] = np.logaddexp(texts.get(text, -np.inf), score)
    scores = {}
    for length in range(frames + 1):
        same = [text for text in texts if len(text) == length]
        ys = torch.tensor(same).long().reshape(len(same), length)
        memory = torch.from_numpy(encoder_out).expand(len(same), -1, -1)
        ends = torch.full((len(same), 1), SPECIAL["eos"])
        before, after = torch.cat([ends, ys], 1), torch.cat([ys, ends], 1)
        lengths = torch.full((len(same),), length + 1)
        with torch.no_grad():
            found, _ = decoder(memory, lengths * 0 + frames, before, lengths)
        found = found.log_softmax(-1).gather(2, after[:, :, None]).sum((1, 2))
        for text, score in zip(same, found.tolist()):
            scores[text] = (1 - weight) * score + weight * texts[text]

    ours = attention.beam(encoder_out, log_probs, 3000, weight, maxlenratio=-5)

    possible = {tuple(one.tokens): one.score for one in ours if one.score > -1e8}
    assert len(possible) > 500
    assert possible == pytest.approx(scores, abs=1e-4)
    assert ours[0].score == pytest.approx(max(scores.values()), abs=1e-4)


def test_no_frames_and_no_room(attention):
    encoder_out, log_probs = utterance(5, seed=0)

    assert attention.beam(encoder_out[:0], log_probs[:0], 4, 0.3) == []
    assert attention.greedy(encoder_out[:0]).tokens == []
    assert attention.beam(encoder_out, log_probs, 4, 0.3, maxlenratio=-0.5) == []


def test_the_decoder_does_not_run_for_ctc_alone():
    given = utterance(9, seed=2)

    assert Attention({}, SPECIAL).beam(*given, 4, ctc_weight=1.0)
