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
    check_decoder(model)
    for attention in model.decoder.modules():
        if attends(attention):
            attention.attn = None  # of the last utterance; its gradient is not copied
    decoder = copy.deepcopy(model.decoder).cpu().float().eval()
    files, frames = {}, torch.randn(1, 7, decoder._output_size_bf_softmax)
    with torch.no_grad():
        pairs = memory_pairs(decoder, frames)
    names = _names("memory", pairs)
    keys = {name: {2: "T"} for name in names}
    if names:
        files["memory"] = Path(out_dir, MEMORY)
        given, axes = ["encoder_out"], {"encoder_out": {1: "T"}, **keys}
        trace(_Memory(decoder), (frames,), files["memory"], given, names, axes)
    files["decoder"] = Path(out_dir, DECODER)
    shapes = _caches(decoder)
    caches = {name: {0: "B", 2: "L"} for name in shapes}
    new = {f"new_{name}": {0: "B", 2: "L_new"} for name in shapes}
    given = {"tokens": {0: "B"}, **keys, **caches}
    found = {"log_probs": {0: "B"}, **new}
    inputs = [torch.zeros(2, 1, dtype=torch.long)]
    inputs += [tensor for pair in pairs if pair for tensor in pair]
    inputs += [torch.randn(2, heads, 3, size) for heads, size in shapes.values()]
    axes, path = {**given, **found}, files["decoder"]
    trace(_Step(decoder), tuple(inputs), path, list(given), list(found), axes)
    return files


def check_decoder(model: nn.Module) -> None:
    """Refuse a model whose attention decoder cannot be exported.

    Args:
        model: ESPnet's model.

    Raises:
        UserError: A decoder of another kind.
    """
    decoder: Any = model.decoder
    kind = type(decoder).__name__
    if not Decoder().fits(decoder) or decoder.output_layer is None:
        why = "transformer decoders and those of transducers can"
    elif not isinstance(decoder.embed[0], nn.Embedding):
        why = "it reads vectors, not tokens, so that nothing can search with it"
    elif type(decoder.embed[1]) not in (PositionalEncoding, ScaledPositionalEncoding):
        why = f"its positions are a {type(decoder.embed[1]).__name__}"
    else:
        return
    raise UserError(
        f"decoder {kind} cannot be exported to ONNX: {why}; recognise by CTC alone, "
        "with --decoder false"
    )


def _names(kind: str, pairs: Sequence[Any]) -> List[str]:
    """Return names of keys and values of the blocks that have them."""
    return [
        f"{kind}_{part}_{i}" for i, pair in enumerate(pairs) if pair for part in "kv"
    ]


def _caches(decoder: Any) -> Dict[str, Tuple[int, int]]:
    """Return the number of heads and their size of every cache, by name."""
    own = [block.self_attn for block in decoder.decoders]
    sizes = [(a.h, a.d_k) if attends(a) else None for a in own]
    named = zip(_names("cache", sizes), [size for size in sizes if size for _ in "kv"])
    # the length of a cache is the position: where no block attends to tokens, one of no
    # heads carries it
    return dict(named) or {"cache_k_0": (0, 1)}


class _Memory(nn.Module):
    """encoder_out (1, T, d) -> keys and values of every source attention."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, encoder_out: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        pairs = memory_pairs(self.decoder, encoder_out)
        return tuple(tensor for pair in pairs if pair for tensor in pair)


class _Step(nn.Module):
    """Tokens (B, 1), memory and caches -> log_probs (B, V) and caches."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.source = [attends(block.src_attn) for block in decoder.decoders]
        self.own = [attends(block.self_attn) for block in decoder.decoders]
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
