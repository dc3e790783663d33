# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Chunks of frames, which contextual blocks see instead of an utterance.

A block gets, and hands on: x, a mask, whether it streams, the contexts of the chunks
before and their place for the next block, whether there is one chunk only, and how many
blocks ran.
"""

from typing import Any, Tuple

import torch
from torch import nn

# what a contextual block takes behind x and mask, and what it takes it to be
_LEFT_OUT = (False, None, None, False, 0)


def after_block(more: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Return what a contextual block that does nothing hands on beside x and mask.

    Args:
        more: What it was given beside them; nothing where blocks are of other kinds.
    """
    return (*more, *_LEFT_OUT[len(more) :]) if more else ()


def frames_of(x: torch.Tensor, encoder: nn.Module, total: int) -> torch.Tensor:
    """Return the frames (N, T, C) that an encoder takes out of the output of a block.

    Args:
        x: Chunks with their contexts (N, chunks, 1 + frames + 1, C); what is (N, T, C)
            is returned as it is.
        encoder: A contextual block encoder.
        total: T, which the last chunk is padded beyond.
    """
    if x.dim() == 3:
        return x
    first = encoder.block_size - encoder.look_ahead  # frames of the first chunk
    kept = [x[:, 0, 1 : 1 + first]]
    offset = 1 + first - encoder.hop_size
    kept += list(x[:, 1:-1, offset : offset + encoder.hop_size].unbind(1))
    kept.append(x[:, -1, offset:-1])
    return torch.cat(kept, 1)[:, :total]
