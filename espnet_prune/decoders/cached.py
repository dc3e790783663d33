# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Beam search with a Transformer decoder whose keys and values are kept.

What is kept travels with the hypotheses, as the state of the search, and nothing stays
in the decoder: no utterance can meet what another has left.
"""

import dataclasses
from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.decoders.steps import Pair, memory_pairs, no_tokens, step
from espnet_prune.families.decoder import Decoder


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """What a hypothesis has kept: a row of tensors that it shares with others.

    Attributes:
        source: The memory (T, d) that `memory` is of. Holding it keeps its address, by
            which it is known, from being taken by another.
        memory: Keys and values of the source attentions, see `memory_pairs`.
        pairs: Keys and values of the tokens, (B, h, L, k) of every block.
        length: L.
        row: Which of the B this hypothesis is.
    """

    source: torch.Tensor
    memory: List[Pair]
    pairs: List[Pair]
    length: int
    row: int

    def is_of(self, memory: torch.Tensor) -> bool:
        """Say whether the keys and values are those of a memory (T, d)."""
        own = self.source
        return own.data_ptr() == memory.data_ptr() and own.shape == memory.shape


class Cached:
    """How a decoder scores with what is kept; comes before its class."""

    def batch_score(
        self,
        ys: torch.Tensor,
        states: List[Any],
        xs: torch.Tensor,
        return_hs: bool = False,
        xs_mask: Optional[torch.Tensor] = None,
    ) -> Tuple[Any, List[Any]]:
        """Score the next tokens of hypotheses of one utterance.

        Args:
            ys: Their tokens, (B, L).
            states: What each has kept, None at first.
            xs: The memory (B, T, d), expanded from one. With others, which are of
                several utterances, the stock class scores.
            return_hs: Return what the output layer reads, too.
            xs_mask: Which frames of several utterances are there; not here.

        Returns:
            Scores (B, V), or those and what the output layer reads (B, d); and states.
        """
        if xs_mask is not None or (len(xs) > 1 and xs.stride(0) != 0):
            more = {} if xs_mask is None else {"xs_mask": xs_mask}
            return super().batch_score(ys, states, xs, return_hs, **more)
        first, count = states[0], ys.size(1)
        known = first is not None and first.is_of(xs[0])
        memory = first.memory if known else memory_pairs(self, xs[:1])
        if first is None or first.length != count - 1:
            pairs, begin = no_tokens(self, xs, len(ys)), 0
        else:
            pairs, begin = _together(states), count - 1
        embedded = self.embed(ys)
        for n in range(begin, count):
            hidden, pairs = step(self, embedded[:, n], memory, pairs)
        scores = hidden
        if self.output_layer is not None:
            scores = torch.log_softmax(self.output_layer(hidden), dim=-1)
        kept = [Kept(xs[0], memory, pairs, count, row) for row in range(len(ys))]
        return ((scores, hidden) if return_hs else scores), kept

    def score(
        self, ys: torch.Tensor, state: Any, x: torch.Tensor, return_hs: bool = False
    ) -> Tuple[Any, ...]:
        """Score the next token of one hypothesis; see `batch_score`.

        Args:
            ys: Its tokens, (L,).
            state: What it has kept.
            x: The memory, (T, d).
            return_hs: Return what the output layer reads, too.
        """
        given = ys[None], [state], x[None]
        if return_hs:
            (scores, hidden), (state,) = self.batch_score(*given, return_hs=True)
            return scores[0], hidden[0], state
        scores, (state,) = self.batch_score(*given)
        return scores[0], state


def _together(states: Sequence[Kept]) -> List[Pair]:
    """Return what hypotheses have kept, one row each."""
    first = states[0].pairs
    if all(state.pairs is first for state in states):
        rows = torch.tensor([state.row for state in states])
        pairs = [pair for pair in first if pair is not None]
        if pairs and rows.tolist() == list(range(len(pairs[0][0]))):
            return first
        return [pair and tuple(t[rows.to(t.device)] for t in pair) for pair in first]
    alone = [
        [pair and tuple(t[state.row][None] for t in pair) for pair in state.pairs]
        for state in states
    ]
    return [
        pairs[0] and tuple(torch.cat(rows) for rows in zip(*pairs))
        for pairs in zip(*alone)
    ]


def cache_decoders(model: nn.Module) -> int:
    """Let the attention decoders of a model keep their keys and values; in place.

    Args:
        model: A model of ESPnet, in evaluation mode; or a decoder.

    Returns:
        How many decoders there are that can.
    """
    found = [
        module
        for module in model.modules()
        if Decoder().fits(module) and isinstance(module.embed[0], nn.Embedding)
    ]
    for decoder in found:
        stock = type(decoder)
        if not issubclass(stock, Cached):
            name, own = f"Cached{stock.__name__}", {"__module__": __name__}
            decoder.__class__ = type(name, (Cached, stock), own)
    return len(found)
