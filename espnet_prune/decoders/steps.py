# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One token of a Transformer decoder at a time, its keys and values kept.

ESPnet keeps the outputs of layers, and makes from them the keys and values of all
tokens, and those of the whole memory, anew at every token of every hypothesis. Here the
memory's are made once per utterance and shared by its hypotheses, and a token's once
per hypothesis. Only the order of sums differs.
"""

import math
from typing import List, Optional, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.compat import MultiHeadedAttention

# keys and values of an attention, or None where a block has none
Pair = Optional[Tuple[torch.Tensor, torch.Tensor]]


def attends(attention: nn.Module) -> bool:
    """Say whether an attention is still there."""
    return isinstance(attention, MultiHeadedAttention)


def memory_pairs(decoder: nn.Module, memory: torch.Tensor) -> List[Pair]:
    """Return what the source attentions look up in a memory.

    Args:
        decoder: ESPnet's Transformer decoder, stock or cut.
        memory: Output of the encoder, (1, T, d).

    Returns:
        Keys and values of every block, (1, h, T, k) each.
    """
    pairs: List[Pair] = []
    for block in decoder.decoders:
        own = block.src_attn
        if attends(own):
            k = own.k_norm(_heads(own.linear_k(memory[0]), own))
            v = _heads(own.linear_v(memory[0]), own)
            pairs.append((k.transpose(0, 1)[None], v.transpose(0, 1)[None]))
        else:
            pairs.append(None)
    return pairs


def no_tokens(decoder: nn.Module, memory: torch.Tensor, count: int) -> List[Pair]:
    """Return what the self-attentions have kept before the first token.

    Args:
        decoder: As in `memory_pairs`.
        memory: A tensor of the type and on the device that they are to be.
        count: Number of hypotheses B.

    Returns:
        Keys and values of every block, (B, h, 0, k) each.
    """
    pairs: List[Pair] = []
    for block in decoder.decoders:
        own = block.self_attn
        empty = memory.new_zeros(count, own.h, 0, own.d_k) if attends(own) else None
        pairs.append(None if empty is None else (empty, empty))
    return pairs


def step(
    decoder: nn.Module,
    x: torch.Tensor,
    memory: Sequence[Pair],
    before: Sequence[Pair],
) -> Tuple[torch.Tensor, List[Pair]]:
    """Run the blocks and the last norm for one token of every hypothesis.

    Args:
        decoder: As in `memory_pairs`, in evaluation mode.
        x: The tokens, embedded with their position, (B, d).
        memory: See `memory_pairs`.
        before: Keys and values of the L tokens before, (B, h, L, k) each.

    Returns:
        What the output layer reads, (B, d), and keys and values of all tokens,
        (B, h, L + 1, k) each.
    """
    after: List[Pair] = []
    for block, source, kept in zip(decoder.decoders, memory, before):
        x, kept = _run(block, x, source, kept)
        after.append(kept)
    return decoder.after_norm(x) if decoder.normalize_before else x, after


def _run(
    block: nn.Module, x: torch.Tensor, source: Pair, kept: Pair
) -> Tuple[torch.Tensor, Pair]:
    """Run one block, as ESPnet's `DecoderLayer.forward` does in evaluation mode."""
    y = block.norm1(x) if block.normalize_before else x
    if kept is not None:
        own = block.self_attn
        k = own.k_norm(_heads(own.linear_k(y), own))[:, :, None]
        v = _heads(own.linear_v(y), own)[:, :, None]
        kept = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
        q = own.q_norm(_heads(own.linear_q(y), own))[:, :, None]
        z = own.linear_out(_found(q, *kept).flatten(1))
        x = x + (block.concat_linear1(torch.cat([y, z], -1)) if _concat(block) else z)
    if not block.normalize_before:
        x = block.norm1(x)
    y = block.norm2(x) if block.normalize_before else x
    if source is not None:
        own = block.src_attn
        # all hypotheses ask the same memory: they are the rows of one product per head
        q = own.q_norm(_heads(own.linear_q(y), own)).transpose(0, 1)[None]
        z = own.linear_out(_found(q, *source)[0].transpose(0, 1).flatten(1))
        x = x + (block.concat_linear2(torch.cat([y, z], -1)) if _concat(block) else z)
    if not block.normalize_before:
        x = block.norm2(x)
    y = block.norm3(x) if block.normalize_before else x
    x = x + block.feed_forward(y)
    return x if block.normalize_before else block.norm3(x), kept


def _concat(block: nn.Module) -> bool:
    return block.concat_after


def _heads(x: torch.Tensor, attention: nn.Module) -> torch.Tensor:
    """Split x (N, h k) by heads: (N, h, k)."""
    return x.reshape(-1, attention.h, attention.d_k)


def _found(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return what heads find: q (N, h, L, k), k and v (N, h, T, k) -> (N, h, L, k)."""
    scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(int(k.size(-1)))
    return torch.matmul(scores.softmax(-1), v)
