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

from espnet_prune.deploy.onnx.frames import Frames
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
        shape = (x.size(0), x.size(1), 3, self.heads, self.width)
        q, k, v = self.qkv(x).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        return self.q_norm(q), self.k_norm(k), v

    def attended(self, scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the output (N, T, d) of scores (N, H, T, T) and values."""
        x = torch.matmul((scores + self.frames.bias).softmax(-1), values)
        x = x.transpose(1, 2)
        return self.out(x.reshape(x.size(0), x.size(1), self.heads * self.width))

    def forward(self, query: torch.Tensor, *ignored: Any, **more: Any) -> torch.Tensor:
        """Attend from query (N, T, d), to which key and value are equal; (N, T, d)."""
        q, k, v = self.parts(query)
        return self.attended(torch.matmul(q, k.transpose(-2, -1)), v)


class RelativeAttention(SelfAttention):
    """Attention whose scores have a part for the distance of two frames.

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
        """Attend from query (N, T, d); the fourth argument are positions."""
        q, k, v = self.parts(query)
        distances = self.distances(q + self.pos_bias_v, more[2])
        if self.zero_triu:
            distances = distances.tril()
        scores = torch.matmul(q + self.pos_bias_u, k.transpose(-2, -1))
        return self.attended(scores + distances, v)

    def distances(self, queries: torch.Tensor, positions: Any) -> torch.Tensor:
        """Return scores (N, H, T, T) by positions (1, 2 T - 1, d)."""
        n, h, t = queries.size(0), queries.size(1), queries.size(2)
        p = self.pos(positions)[0].view(-1, h, self.width).permute(1, 2, 0)
        x = nn.functional.pad(torch.matmul(queries, p), (1, 0))
        x = x.reshape(n, h, 2 * t, t)[:, :, 1:]
        return x.reshape(n, h, t, 2 * t - 1)[..., :t]


class LegacyRelativeAttention(RelativeAttention):
    """The same with ESPnet's older positions, of which there are as many as frames.

    What a row's positions are depends on its own length.
    """

    def distances(self, queries: torch.Tensor, positions: Any) -> torch.Tensor:
        """Return scores (N, H, T, T) by positions (N, 2, T, d)."""
        n, h, t = queries.size(0), queries.size(1), queries.size(2)
        p = self.pos(positions).view(n, 2, t, h, self.width).permute(1, 0, 3, 4, 2)
        right, left = torch.matmul(queries, p[0]), torch.matmul(queries, p[1])
        place = torch.arange(t)
        x = torch.where(place[:, None] + place >= t - 1, left, right)
        x = nn.functional.pad(x, (1, 0)).reshape(n, h, t + 1, t)[:, :, 1:]
        return x.reshape(n, h, t, t)


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
        n, t = query.size(0), query.size(1)
        inputs, distances = query.reshape(n, t, self.total, -1), more[2]
        if self.heads < self.total:
            inputs, distances = inputs[:, :, self.indices], distances[:, self.indices]
        logits = self.gate(inputs.transpose(1, 2)).view(n, self.heads, t, 2, 4)
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
        n, t = x.size(0), x.size(1)
        keys = stock.key(x) * mean.transpose(1, 2).reshape(n, 1, -1)
        _, mean = self._mean(keys, stock.key_att)
        values = (mean * queries).transpose(1, 2)
        return stock.transform(values.reshape(n, t, -1)) + query

    def _mean(self, x: torch.Tensor, score: nn.Module) -> Sequence[torch.Tensor]:
        """Return x (N, T, d) by heads (N, H, T, k), and its mean (N, H, 1, k)."""
        scores = score(x).transpose(1, 2)[:, :, None] / math.sqrt(self.width)
        weights = (scores + self.frames.bias).softmax(-1)
        heads = x.reshape(x.size(0), x.size(1), self.heads, self.width).transpose(1, 2)
        return heads, torch.matmul(weights, heads)
