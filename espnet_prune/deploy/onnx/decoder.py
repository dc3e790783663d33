# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Attention decoders as two files: what an utterance needs once, and one token.

memory.onnx makes the keys and values of the source attention; decoder.onnx takes them,
the last token of every hypothesis and the keys and values of its tokens before. Cut
decoders have attentions in some blocks only, with any number of heads; the names of
the inputs say which there are.
"""

import copy
import math
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.compat import PositionalEncoding, ScaledPositionalEncoding
from espnet_prune.decoders.steps import Pair, attends, memory_pairs, step
from espnet_prune.deploy.onnx.tracing import trace
from espnet_prune.families.decoder import Decoder
from espnet_prune.utils import PathLike, UserError

MEMORY, DECODER = "memory.onnx", "decoder.onnx"


def export_decoder(model: nn.Module, out_dir: PathLike) -> Dict[str, Path]:
    """Write the attention decoder of a model as ONNX files.

    Args:
        model: ESPnet's model, stock or cut, in evaluation mode.
        out_dir: Directory for memory.onnx and decoder.onnx.

    Returns:
        The files by the names that config.json gives them, memory and decoder; there
        is no memory where no block has source attention.

    Raises:
        UserError: A decoder of another kind.
    """
    decoder = for_export(model.decoder)
    files = {"decoder": Path(out_dir, DECODER)}
    memory, kept = _Memory(decoder), _Step(decoder)
    frames = torch.randn(1, 7, decoder._output_size_bf_softmax)
    with torch.no_grad():
        pairs = memory_pairs(decoder, frames)
    if any(pairs):
        files["memory"] = Path(out_dir, MEMORY)
        names = _names("memory", pairs)
        axes = {"encoder_out": {1: "T"}, **{name: {2: "T"} for name in names}}
        trace(memory, (frames,), files["memory"], ["encoder_out"], names, axes)
    keys = [t for pair in pairs if pair for t in pair]
    caches = [
        torch.randn(2, h, 3, k) for h, k in filter(None, kept.sizes) for _ in "kv"
    ]
    names = _names("memory", pairs), _names("cache", kept.sizes)
    if not any(kept.own):
        names, caches = (names[0], ["cache_k_0"]), [torch.zeros(2, 0, 3, 1)]
    new = [f"new_{name}" for name in names[1]]
    axes = {"tokens": {0: "B"}, "log_probs": {0: "B"}}
    axes.update({name: {2: "T"} for name in names[0]})
    axes.update({name: {0: "B", 2: "L"} for name in names[1]})
    axes.update({name: {0: "B", 2: "L_new"} for name in new})
    tokens = torch.zeros(2, 1, dtype=torch.long)
    inputs = ["tokens", *names[0], *names[1]]
    given = (tokens, *keys, *caches)
    trace(kept, given, files["decoder"], inputs, ["log_probs", *new], axes)
    return files


def for_export(decoder: Any) -> nn.Module:
    """Return a copy of a decoder that can be exported.

    Raises:
        UserError: A decoder of another kind.
    """
    kind = type(decoder).__name__
    if not Decoder().fits(decoder) or decoder.output_layer is None:
        raise UserError(
            f"decoder {kind} cannot be exported to ONNX; transformer decoders and "
            "those of transducers can: decode by CTC alone, with --decoder false"
        )
    if not isinstance(decoder.embed[0], nn.Embedding):
        raise UserError(
            f"decoder {kind} reads vectors, not tokens, so nothing can search with it; "
            "decode by CTC alone, with --decoder false"
        )
    if type(decoder.embed[1]) not in (PositionalEncoding, ScaledPositionalEncoding):
        raise UserError(
            f"decoder {kind}: positions by {type(decoder.embed[1]).__name__} cannot "
            "be exported to ONNX; decode by CTC alone, with --decoder false"
        )
    for attention in decoder.modules():
        if attends(attention):
            attention.attn = None  # of the last utterance; its gradient is not copied
    return copy.deepcopy(decoder).cpu().float().eval()


def _names(kind: str, pairs: Sequence[Any]) -> List[str]:
    """Return names of keys and values of the blocks that have them."""
    return [
        f"{kind}_{part}_{i}" for i, pair in enumerate(pairs) if pair for part in "kv"
    ]


class _Memory(nn.Module):
    """encoder_out (1, T, d) -> keys and values of every source attention."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, encoder_out: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        pairs = memory_pairs(self.decoder, encoder_out)
        return tuple(tensor for pair in pairs if pair for tensor in pair)


class _Step(nn.Module):
    """Tokens (B, 1), memory and caches -> log_probs (B, V) and caches.

    The length of a cache is the position. Where no block attends to tokens, a cache of
    no heads carries it.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        own = [block.self_attn for block in decoder.decoders]
        self.source = [attends(block.src_attn) for block in decoder.decoders]
        self.own = [attends(attention) for attention in own]
        self.sizes = [(a.h, a.d_k) if attends(a) else None for a in own]
        encoding = decoder.embed[1]
        self.alpha = getattr(encoding, "alpha", None)
        self.scale = 1.0 if self.alpha is not None else encoding.xscale
        pairs = torch.arange(0, encoding.d_model, 2, dtype=torch.float32)
        rates = torch.exp(pairs * -(math.log(10000.0) / encoding.d_model))
        self.register_buffer("rates", rates)

    def embedded(self, tokens: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
        """Embed tokens (B, 1) that follow those of a cache."""
        x = self.decoder.embed[0](tokens[:, 0]) * self.scale
        position = torch.arange(cache.size(2) + 1, dtype=torch.float32)[-1:]
        angles = position * self.rates
        places = torch.stack([angles.sin(), angles.cos()], -1).flatten()
        return x + (places if self.alpha is None else self.alpha * places)

    def forward(
        self, tokens: torch.Tensor, *tensors: torch.Tensor
    ) -> Tuple[torch.Tensor, ...]:
        number = 2 * sum(self.source)
        memory = _pairs(self.source, tensors[:number])
        before = _pairs(self.own, tensors[number:])
        x = self.embedded(tokens, tensors[number])
        hidden, after = step(self.decoder, x, memory, before)
        scores = self.decoder.output_layer(hidden).log_softmax(-1)
        if not any(self.own):
            return scores, nn.functional.pad(tensors[number], (0, 0, 0, 1))
        return (scores, *(tensor for pair in after if pair for tensor in pair))


def _pairs(there: Sequence[bool], tensors: Sequence[torch.Tensor]) -> List[Pair]:
    """Return keys and values by block, None where a block has none."""
    rest = iter(tensors)
    return [(next(rest), next(rest)) if has else None for has in there]
