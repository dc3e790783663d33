# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Beam search, joint with CTC, finds the same masked and cut, for many structures.

The suite draws 5 structures of every variant; ESPNET_PRUNE_LONG=1 draws 100 of each and
writes test/results/decoder_beams.json.
"""

import pytest
import torch

from espnet_prune import Structure, cut, unit_graph
from espnet_prune.cutting.trials import soft_masks
from espnet_prune.units import masked
from test.espnet_prune.decoders.zoo import (
    DRAWN,
    VOCABULARY,
    WIDTH,
    build,
    recorded,
    sequence,
)

VARIANTS = ("stock", "post_norm", "qk_norm", "concat_after")
LAST = VOCABULARY - 1  # begins and ends a sentence


@pytest.fixture(scope="module")
def record():
    """What the long form found, per variant."""
    yield from recorded(VARIANTS, "decoder_beams.json")


@pytest.fixture(scope="module")
def ctc():
    from espnet2.asr.ctc import CTC

    torch.manual_seed(0)
    made = CTC(VOCABULARY, WIDTH).double().eval()
    with torch.no_grad():
        made.ctc_lo.weight.mul_(4.0)
    return made


def heard(decoder, ctc, memory, batched):
    """Return tokens and scores of the best hypotheses for a memory (T, d)."""
    from espnet2.bin import asr_inference as espnet

    kind = espnet.BatchBeamSearch if batched else espnet.BeamSearch
    scorers = {"decoder": decoder, "ctc": espnet.CTCPrefixScorer(ctc=ctc, eos=LAST)}
    search = kind(
        scorers=scorers,
        weights={"decoder": 0.7, "ctc": 0.3},
        beam_size=3,
        vocab_size=VOCABULARY,
        sos=LAST,
        eos=LAST,
        pre_beam_score_key="full",
    )
    with torch.no_grad():
        found = search(memory, maxlenratio=0.5)[:3]
    return [h.yseq.tolist() for h in found], [float(h.score) for h in found]


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_hypotheses_and_scores(variant, ctc, record):
    decoder = build(variant).double()
    graph, shares, lengths = unit_graph(decoder), [], set()
    for seed in range(DRAWN):
        structure = Structure.random(decoder, seed, keep=0.3 + 0.4 * (seed % 5) / 4)
        masks = soft_masks(graph, structure, seed)
        small = cut(decoder, structure, masks)
        memory = sequence(seed, frames=20)[0][0].double()
        for batched in (True, False):
            with masked(decoder, graph, masks):
                wanted, scores = heard(decoder, ctc, memory, batched)
            found, own = heard(small, ctc, memory, batched)
            assert found == wanted, (seed, batched)
            pairs = zip(own, scores)
            shares += [abs(ours / theirs - 1) for ours, theirs in pairs]
            lengths.add(len(wanted[0]))
    assert max(shares) < 1e-6 and max(lengths) > 4
    record[variant] = max(shares)
