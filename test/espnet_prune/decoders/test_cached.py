# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decoders that keep keys and values find what ESPnet's find, for every way to search.

Were the memory's keys and values kept in the decoder, and known by the address of the
memory alone, the second utterance would be heard as the first.
"""

import copy

import pytest
import torch

from espnet_prune import Structure, cut
from espnet_prune.decoders.cached import Cached, cache_decoders
from test.espnet_prune.decoders.test_beam import VARIANTS, ctc, heard  # noqa: F401
from test.espnet_prune.decoders.zoo import alone, build, partially, sequence, stepwise


def cached(decoder):
    ours = copy.deepcopy(decoder)
    assert cache_decoders(ours) == 1 and isinstance(ours, type(decoder))
    assert cache_decoders(ours) == 1  # once more changes nothing
    return ours


def small(variant, seed):
    decoder = build(variant)
    return cut(decoder, Structure.random(decoder, seed, keep=0.5))


@pytest.mark.parametrize("variant", (*VARIANTS, "hidden"))
def test_same_scores(variant):
    for seed, decoder in enumerate((build(variant), small(variant, 1))):
        ours = cached(decoder.double())
        memory, ys = sequence(seed)
        memory = memory.double()
        for way in (stepwise, alone, partially):
            wanted = way(decoder, memory, ys)
            diff = (way(ours, memory, ys) - wanted).abs().max()
            assert diff <= 1e-12 * wanted.abs().max()


@pytest.mark.parametrize("batched", (True, False))
@pytest.mark.parametrize("whole", (True, False))
def test_same_hypotheses_of_utterance_after_utterance(
    whole, batched, ctc  # noqa: F811
):
    decoder = (build() if whole else small("stock", 0)).double()
    ours, texts = cached(decoder), []
    buffer = torch.empty(20, 16, dtype=torch.double)
    for seed in range(3 if batched else 2):
        memory = sequence(seed, frames=20)[0][0].double()
        wanted, scores = heard(decoder, ctc, memory, batched)
        buffer.copy_(memory)  # at one address all the time
        found, own = heard(ours, ctc, buffer, batched)
        assert found == wanted, seed
        assert own == pytest.approx(scores, rel=1e-9)
        texts.append(wanted[0])
    assert texts[0] != texts[1]


def test_hypotheses_in_any_order_and_of_any_number():
    decoder, (memory, ys) = build().double(), sequence(hypotheses=4, tokens=6)
    ours, memory = cached(decoder), memory.double()
    for picked in ([2, 0, 0], [3], [1, 2, 3]):
        states = [ours.batch_score(ys[:, :4], [None] * 4, memory.expand(4, -1, -1))[1]]
        states.append([ours.score(row[:4], None, memory[0])[1] for row in ys])
        wanted = stepwise(decoder, memory, ys[picked, :5])[:, -1]
        for kept in states:
            xs = memory.expand(len(picked), -1, -1)
            chosen = [kept[i] for i in picked]
            found, _ = ours.batch_score(ys[picked, :5], chosen, xs)
            assert torch.allclose(found, wanted, rtol=1e-9)


def test_a_memory_that_grows_is_heard_whole():
    """As in ESPnet's search of streams, where hypotheses outlive their memory."""
    decoder, (memory, ys) = build().double(), sequence(frames=12)
    ours, memory, found = cached(decoder), memory.double(), []
    for model in (decoder, ours):
        states = [None] * 3
        for frames, tokens in ((6, 1), (6, 2), (12, 3)):
            xs = memory[:, :frames].expand(3, -1, -1)
            scores, states = model.batch_score(ys[:, :tokens], states, xs)
        found.append(scores)
    assert torch.allclose(*found, rtol=1e-9)


def test_several_utterances_at_once_are_left_to_espnet():
    decoder, ours = build(), cached(build())
    memory = torch.cat([sequence(seed)[0] for seed in range(3)])
    ys = sequence()[1]
    found = []
    for model in (decoder, ours):
        scores, states = model.batch_score(ys[:, :1], [None] * 3, memory)
        found.append(model.batch_score(ys[:, :2], states, memory)[0])
    assert torch.equal(*found)
    assert torch.is_tensor(states[0][0])


def test_what_the_output_layer_reads():
    decoder, (memory, ys) = build(), sequence()
    xs, states = memory.expand(3, -1, -1), [None] * 3
    ours = cached(decoder)
    (wanted, hidden), _ = decoder.batch_score(ys[:, :1], states, xs, return_hs=True)
    (scores, own), _ = ours.batch_score(ys[:, :1], states, xs, return_hs=True)
    assert torch.allclose(scores, wanted, atol=1e-6)
    assert torch.allclose(own, hidden, atol=1e-6)
    found = ours.score(ys[0, :1], None, memory[0], return_hs=True)
    assert torch.allclose(found[1], hidden[0], atol=1e-6)


def test_others_are_left_alone():
    vectors = build("vectors")
    assert cache_decoders(vectors) == 0 and not isinstance(vectors, Cached)
