# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Self-attention with gated relative positions, as in WavLM.

A table holds one bias per head for every class of distances between two frames; each
block adds it to its attention scores, scaled by a gate that reads the block's input.
(Chen et al., "WavLM", 2022; the numbers are those of
`torchaudio.models.wav2vec2.wavlm_attention`.)

There the table is a part of the first block. Here it stands before the blocks and goes
from block to block like other positional embeddings, so that any attention and any
block can be removed.
"""

import math
from typing import List

import torch
from torch import nn

from espnet_prune.compat import MultiHeadedAttention


class RelativePositions(nn.Module):
    """A bias for every head and every distance between two frames.

    Half of the classes are for frames to the right. Short distances have a class each,
    longer ones share classes that widen with the logarithm of the distance.

    Args:
        heads: Number of heads H.
        num_buckets: Number of classes.
        max_distance: Distance from which on all share the last class.
    """

    def __init__(self, heads: int, num_buckets: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.table = nn.Parameter(torch.randn(num_buckets, heads))

    def forward(self, frames: int) -> torch.Tensor:
        """Return the biases (1, H, T, T) for T frames."""
        here = torch.arange(frames, device=self.table.device)
        distances = torch.arange(1 - frames, frames, device=self.table.device)
        biases = self.table[self._classes(distances)]  # (2 T - 1, H)
        return biases[here - here[:, None] + frames - 1].permute(2, 0, 1)[None]

    def _classes(self, distances: torch.Tensor) -> torch.Tensor:
        half = len(self.table) // 2
        single = half // 2
        size = distances.abs()
        growth = torch.log(size.clamp(min=1).float() / single)
        growth = growth / math.log(self.max_distance / single) * (half - single)
        shared = (single + growth.long()).clamp(max=half - 1)
        return torch.where(size < single, size, shared) + half * (distances > 0)


class GatedAttention(MultiHeadedAttention):
    """Multi-head attention whose scores get gated relative positions.

    The gate of head j reads the j-th part of the block's input, which pruning does not
    narrow; so a head keeps the index that it had among all heads.

    Args:
        n_head: Number of heads H.
        n_feat: Width of the residual stream d.
        dropout_rate: Dropout on the attention weights.

    Attributes:
        heads: Index, among all H heads, of every head that is left.
    """

    def __init__(self, n_head: int, n_feat: int, dropout_rate: float) -> None:
        super().__init__(n_head, n_feat, dropout_rate)
        self.heads: List[int] = list(range(n_head))
        self.total_heads = n_head
        self.gate = nn.Linear(self.d_k, 8)
        self.gate_scale = nn.Parameter(torch.ones(n_head))

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        pos_emb: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """Attend.

        Args:
            query: (N, T, d); key and value are the same.
            key: (N, T, d).
            value: (N, T, d).
            pos_emb: Relative positions of all heads (1, H, T, T).
            mask: True at real frames (N, 1, T).

        Returns:
            (N, T, d).
        """
        parts = query.unflatten(-1, (self.total_heads, self.d_k))
        if self.h < self.total_heads:
            parts, pos_emb = parts[:, :, self.heads], pos_emb[:, self.heads]
        bias = self._gates(parts.transpose(1, 2)) * pos_emb
        bias = bias.masked_fill(~mask.unsqueeze(1), torch.finfo(bias.dtype).min)
        q, k, v = self.forward_qkv(query, key, value)
        context = nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=bias.to(q.dtype),
            dropout_p=self.dropout_rate if self.training else 0.0,
        )
        return self.linear_out(context.transpose(1, 2).flatten(2))

    def keep_units(self, kept: torch.Tensor) -> None:
        """Note which heads are left: their positions (n,) among those that are here."""
        self.heads = [self.heads[i] for i in kept.tolist()]

    def _gates(self, parts: torch.Tensor) -> torch.Tensor:
        """Return the factor (N, h, T, 1) of every head for its input (N, h, T, k)."""
        logits = self.gate(parts).unflatten(-1, (2, 4)).sum(-1)
        update, reset = torch.sigmoid(logits).split(1, dim=-1)
        scale = self.gate_scale[:, None, None]
        return update * (reset * scale - 1.0) + 2.0
