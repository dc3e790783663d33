# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transformer decoders: self-attention, source attention, feed-forward.

What a decoder costs is counted for decoding with its keys and values kept: every layer
runs once per token and hypothesis, but the keys and values of the source attention are
made once per frame of the memory, and a token attends to itself and all before it.
ESPnet's own search keeps the outputs of layers alone, and makes all keys and values
anew at every step; `ANEW` instead of `USES` in a clock counts that.
"""

from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import nn

from espnet_prune.compat import (
    DecoderLayer,
    MultiHeadedAttention,
    PositionwiseFeedForward,
    TransformerDecoder,
)
from espnet_prune.families.base import Family
from espnet_prune.price import Clock
from espnet_prune.structure import Stack
from espnet_prune.units.cut_attention import replace_attentions
from espnet_prune.units.graph import Place, Unit
from espnet_prune.units.modules import Removed, counts_of, module_units
from espnet_prune.units.pricing import Parts

TOKENS = 0.05  # tokens per frame of 10 ms: five a second
# uses: once per token; keys and values of tokens and of the memory; products of both
TOKEN, KEPT, MEMORY = "token", "kept_token", "memory"
SELF_PAIRS, SOURCE_PAIRS = "twice_the_token_pairs", "token_memory_pairs"
USES = {
    TOKEN: ((1, 0, 0, 1),),
    KEPT: ((1, 0, 0, 1),),
    MEMORY: ((1, -1, 1, 0),),
    # token n attends to n tokens, n (n + 1) / 2 in all
    SELF_PAIRS: ((1, 0, 0, 2), (1, 0, 0, 1)),
    SOURCE_PAIRS: ((1, -1, 1, 1),),
}
ANEW = {**USES, KEPT: ((0.5, 0, 0, 2), (0.5, 0, 0, 1)), MEMORY: ((1, -1, 1, 1),)}

# of a block: list of the Structure, module, its norm; of an attention, how often a
# dimension of a head makes products
_MODULES = (
    ("self_attention_heads", "self_attn", "norm1", SELF_PAIRS, 1),
    ("source_attention_heads", "src_attn", "norm2", SOURCE_PAIRS, 2),
    ("linear_units", "feed_forward", "norm3", "", 0),
)
_KINDS = (MultiHeadedAttention, PositionwiseFeedForward, nn.LayerNorm, nn.Linear)


class Decoder(Family):
    """ESPnet's `transformer` decoder."""

    stock, pruned = "transformer", "pruned_transformer_decoder"
    stack = attribute = key = "decoder"

    def fits(self, module: nn.Module) -> bool:
        """Say whether all that a decoder consists of is known."""
        return isinstance(module, TransformerDecoder) and all(
            type(block) is DecoderLayer
            and block.sequential_attn is None
            and all(
                isinstance(child, (*_KINDS, Removed, nn.Identity, nn.Dropout))
                for child in block.children()
            )
            for block in module.decoders
        )

    def parts(self, module: nn.Module) -> Parts:
        """Return units, counts and prices of a decoder; see `Family.parts`."""
        blocks = list(module.decoders)
        parts = Parts(
            units=[],
            blocks={},
            blocks_path="decoders",
            kept_blocks=list(getattr(module, "kept_blocks", range(len(blocks)))),
            input_size=module._output_size_bf_softmax,
            clock=Clock(uses=USES, tokens=TOKENS),
        )
        special = {
            f"{attention}.{linear}": use
            for attention, use in (("self_attn", KEPT), ("src_attn", MEMORY))
            for linear in ("linear_k", "linear_v")
        }
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear):
                last = ".".join(name.split(".")[-2:])
                parts.uses[name] = special.get(last, TOKEN)
        for i, block in enumerate(blocks):
            parts.units += _block_units(f"decoders.{i}", block, i)
        fields = [field for field, *_ in _MODULES]
        parts.blocks = counts_of(parts.units, fields, len(blocks))
        return parts

    def after_cut(self, block: nn.Module) -> None:
        """Give a block attentions that know their heads."""
        replace_attentions(block)

    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return a random memory and tokens of 1 to 4 utterances, and their lengths."""
        count = 1 + trial % 4

        def lengths(least: int, most: int) -> torch.Tensor:
            return torch.randint(least, most, (count,), generator=generator)

        frames, tokens = lengths(5, 60), lengths(2, 14)
        shape = (count, int(frames.max()), place.input_size)
        memory = torch.randn(shape, generator=generator)
        first = next(m for m in module.embed.modules() if hasattr(m, "weight"))
        shape = (count, int(tokens.max()))
        if isinstance(first, nn.Embedding):
            ys = torch.randint(first.num_embeddings, shape, generator=generator)
        else:
            ys = torch.randn(*shape, first.in_features, generator=generator)
        return (memory, frames, ys, tokens), [*frames.tolist(), *tokens.tolist()]

    def run(self, module: nn.Module, inputs: Any, ctc: Any = None) -> torch.Tensor:
        """Return scores by teacher forcing, then token by token as in a beam; (n, V).

        Without an embedding there is no search, and so nothing token by token.

        Args:
            module: The decoder, dense or cut, in evaluation mode.
            inputs: What `draw` returned; the beam searches in the first memory.
            ctc: Not used.
        """
        memory, frames, ys, tokens = inputs
        dtype = next(module.parameters()).dtype
        memory, search = memory.to(dtype), not ys.is_floating_point()
        ys = ys if search else ys.to(dtype)
        scores, _ = module(memory, frames, ys, tokens)
        real = torch.arange(scores.size(1)) < tokens[:, None]
        found = [scores[real]]
        beam = memory[:1, : frames[0]].expand(len(ys), -1, -1)
        states: List[Any] = [None] * len(ys)
        for step in range(1, ys.size(1) + 1 if search else 1):
            scores, states = module.batch_score(ys[:, :step], states, beam)
            found.append(scores)
        return torch.cat(found)

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments of the stock class; see `Family.stock_conf`.

        It can have fewer blocks, and another width of all feed-forwards.
        """
        position = [dense.kept_blocks.index(block) for block in kept.kept_blocks]
        units = set(kept.blocks["linear_units"])
        heads = [field for field, _, _, pairs, _ in _MODULES if pairs]
        whole = all(
            kept.blocks[field] == [dense.blocks[field][i] for i in position]
            for field in heads
        )
        if conf.get("structure") or len(units) > 1 or 0 in units or not whole:
            return None
        conf = self.fewer_blocks(conf, position)
        conf["linear_units"] = units.pop()
        return conf


def _block_units(path: str, block: nn.Module, index: int) -> List[Unit]:
    """Return the units of a block, in the order in which it runs them."""
    units = []
    for field, name, norm, pairs, times in _MODULES:
        module = getattr(block, name)
        attention = pairs and isinstance(module, MultiHeadedAttention)
        units += module_units(
            f"{path}.{name}",
            module,
            field,
            index,
            # a norm before a module goes with it, one after it stays
            f"{path}.{norm}" if block.normalize_before else None,
            removable=not (pairs and block.concat_after),
            # scores and weighted values
            products={pairs: times * module.d_k} if attention else None,
        )
    return units
