# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Attentions as they are exported.

Queries, keys and values are one product; the scale is in its weights; frames that are
not real get a large negative score. Positions are made in the graph, so that nothing
bounds the length.
"""

import copy
import math
from typing import Any, Sequence

import torch
from torch import nn

from espnet_prune.deploy.onnx.frames import BLOCKS, Frames, reshaped
from espnet_prune.units.gated import GatedAttention


def linear_of(weight: torch.Tensor, bias: Any = None) -> nn.Linear:
    """Return a Linear with these weights (out, in) and biases (out,)."""
    new = nn.Linear(1, 1, bias=bias is not None)
    new.in_features, new.out_features = weight.size(1), weight.size(0)
    new.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        new.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return new


def _joined(linears: Sequence[nn.Linear], scale: float) -> nn.Linear:
    """Return several Linears as one, the first of them scaled."""
    factors = [scale] + [1.0] * (len(linears) - 1)
    weights = [f * linear.weight for f, linear in zip(factors, linears)]
    biases = [f * linear.bias for f, linear in zip(factors, linears)]
    return linear_of(torch.cat(weights), torch.cat(biases))


def _scaled(norm: nn.Module, scale: float) -> nn.Module:
    """Return a norm whose output is scaled; what is no norm comes back as it is."""
    if not isinstance(norm, nn.LayerNorm):
        return norm
    new = copy.copy(norm)
    new._parameters = {
        name: nn.Parameter(p.detach() * scale, requires_grad=False)
        for name, p in norm._parameters.items()
    }
    return new


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself.

    Args:
        attention: ESPnet's MultiHeadedAttention.
        frames: Of the batch.
    """

    def __init__(self, attention: nn.Module, frames: Frames) -> None:
        super().__init__()
        a = attention
        self.heads, self.width, self.frames = a.h, a.d_k, frames
        self.scale, normed = a.d_k**-0.5, isinstance(a.q_norm, nn.LayerNorm)
        linears = (a.linear_q, a.linear_k, a.linear_v)
        self.qkv = _joined(linears, 1.0 if normed else self.scale)
        self.q_norm, self.k_norm = _scaled(a.q_norm, self.scale), a.k_norm
        self.out = a.linear_out

    def parts(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return scaled queries, keys and values (N, H, T, k) of x (N, T, d)."""
        x = reshaped(self.qkv(x), 0, 0, 3, self.heads, -1)
        q, k, v = x.permute(2, 0, 3, 1, 4).unbind(0)
        return self.q_norm(q), self.k_norm(k), v

    def mean(self, scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the mean (N, H, U, k) of values by scores (N, H, U, T)."""
        return torch.matmul((scores + self.frames.bias).softmax(-1), values)

    def joined(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output (N, T, d) of what heads have found (N, H, T, k)."""
        return self.out(reshaped(x.transpose(1, 2), 0, 0, -1))

    def attended(self, scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the output (N, T, d) of scores (N, H, T, T) and values."""
        return self.joined(self.mean(scores, values))

    def forward(self, query: torch.Tensor, *ignored: Any, **more: Any) -> torch.Tensor:
        """Attend from query (N, T, d), to which key and value are equal; (N, T, d)."""
        q, k, v = self.parts(query)
        return self.attended(torch.matmul(q, k.transpose(-2, -1)), v)


class RelativeAttention(SelfAttention):
    """Attention whose scores have a part for the distance of two frames.

    Queries come in blocks: those of one block are at few distances from all frames, of
    which so many need not be worked out, and what belongs to it stays in the cache.

    Args:
        attention: ESPnet's RelPositionMultiHeadedAttention or the legacy one.
        frames: Of the batch.
    """

    def __init__(self, attention: nn.Module, frames: Frames) -> None:
        super().__init__(attention, frames)
        self.pos, self.zero_triu = attention.linear_pos, attention.zero_triu
        for name in ("pos_bias_u", "pos_bias_v"):
            bias = getattr(attention, name).detach()[:, None] * self.scale
            self.register_buffer(name, bias)

    def forward(self, query: torch.Tensor, *more: Any, **ignored: Any) -> torch.Tensor:
        """Attend from query (N, T, d); the fourth argument are positions.

        Those are (BLOCKS * U + T, d), U the queries of a block, the farthest to the
        left first.
        """
        q, k, v = self.parts(query)
        t, step, heads = self.frames.count, self.frames.step, self.heads
        q = nn.functional.pad(q, (0, 0, 0, BLOCKS * step - t))
        blocks = reshaped(q, 0, heads, BLOCKS, -1, self.width).unbind(2)
        p = reshaped(self.pos(more[2]), -1, heads, self.width).permute(1, 2, 0)
        keys, found = k.transpose(-2, -1), []
        for i, (queries, (first, end)) in enumerate(zip(blocks, self.frames.windows)):
            near = torch.matmul(queries + self.pos_bias_v, p[..., first:end])
            # every row moved by one more than the row before: as one vector, from U on
            near = reshaped(near, 0, heads, -1)[:, :, step:]
            near = near.reshape(-1, heads, step, step + t - 1)[..., :t]
            if self.zero_triu:
                rows = torch.arange(step)[:, None] + i * step
                near = near * (torch.arange(t) <= rows).float()
            scores = torch.matmul(queries + self.pos_bias_u, keys)
            found.append(self.mean(scores + near, v))
        return self.joined(torch.cat(found, dim=2)[:, :, :t])


class LegacyRelativeAttention(RelativeAttention):
    """The same with ESPnet's older positions, of which there are as many as frames.

    What a row's positions are depends on its own length.
    """

    def forward(self, query: torch.Tensor, *more: Any, **ignored: Any) -> torch.Tensor:
        """Attend from query (N, T, d); the fourth argument are positions."""
        q, k, v = self.parts(query)
        distances = self.distances(q + self.pos_bias_v, more[2])
        if self.zero_triu:
            distances = distances.tril()
        scores = torch.matmul(q + self.pos_bias_u, k.transpose(-2, -1))
        return self.attended(scores + distances, v)

    def distances(self, queries: torch.Tensor, positions: Any) -> torch.Tensor:
        """Return scores (N, H, T, T) by positions (N, 2, T, d)."""
        t, heads = self.frames.count, self.heads
        p = reshaped(self.pos(positions), 0, 0, 0, heads, -1)
        p = p.permute(1, 0, 3, 4, 2)
        right, left = torch.matmul(queries, p[0]), torch.matmul(queries, p[1])
        place = torch.arange(t)
        x = torch.where(place[:, None] + place >= t - 1, left, right)
        x = reshaped(nn.functional.pad(x, (1, 0)), 0, heads, -1)[:, :, t:]
        return x.reshape(-1, heads, t, t)


class GatedRelativeAttention(SelfAttention):
    """WavLM's attention: a table of distances, scaled by a gate.

    Args:
        attention: Ours, see `units/gated.py`.
        frames: Of the batch.
    """

    def __init__(self, attention: GatedAttention, frames: Frames) -> None:
        super().__init__(attention, frames)
        self.total, self.indices = attention.total_heads, list(attention.heads)
        self.gate, self.gate_scale = attention.gate, attention.gate_scale

    def forward(self, query: torch.Tensor, *more: Any, **ignored: Any) -> torch.Tensor:
        """Attend from query (N, T, d); the fourth argument is (1, total, T, T)."""
        inputs, distances = reshaped(query, 0, 0, self.total, -1), more[2]
        if self.heads < self.total:
            inputs, distances = inputs[:, :, self.indices], distances[:, self.indices]
        logits = reshaped(self.gate(inputs.transpose(1, 2)), 0, 0, 0, 2, -1)
        update, reset = torch.sigmoid(logits.sum(-1)).split(1, dim=-1)
        gates = update * (reset * self.gate_scale[:, None, None] - 1.0) + 2.0
        q, k, v = self.parts(query)
        scores = torch.matmul(q, k.transpose(-2, -1)) + gates * distances
        return self.attended(scores, v)


class FastAttention(nn.Module):
    """Fastformer's attention: weighted means instead of pairs.

    Args:
        attention: ESPnet's FastSelfAttention.
        frames: Of the batch.
    """

    def __init__(self, attention: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.stock, self.frames = attention, frames
        self.heads = attention.num_attention_heads
        self.width = attention.attention_head_size

    def forward(self, x: torch.Tensor, *ignored: Any) -> torch.Tensor:
        """Attend from x (N, T, d) to itself; (N, T, d)."""
        stock = self.stock
        query = stock.query(x)
        queries, mean = self._mean(query, stock.query_att)
        keys = stock.key(x) * reshaped(mean, 0, 1, -1)
        _, mean = self._mean(keys, stock.key_att)
        values = reshaped((mean * queries).transpose(1, 2), 0, 0, -1)
        return stock.transform(values) + query

    def _mean(self, x: torch.Tensor, score: nn.Module) -> Sequence[torch.Tensor]:
        """Return x (N, T, d) by heads (N, H, T, k), and its mean (N, H, 1, k)."""
        scores = score(x).transpose(1, 2)[:, :, None] / math.sqrt(self.width)
        weights = (scores + self.frames.bias).softmax(-1)
        heads = reshaped(x, 0, 0, self.heads, -1).transpose(1, 2)
        return heads, torch.matmul(weights, heads)
