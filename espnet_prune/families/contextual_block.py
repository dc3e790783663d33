# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Streaming encoders of ESPnet: blocks that see overlapping chunks of frames.

A chunk carries a frame of context from the chunk before and one to the next. Both are
as wide as the model, so that heads, units and channels leave every state alone.
"""

import dataclasses
from typing import Any, List, Tuple

import torch
from torch import nn

from espnet_prune.compat import ChunkConformerLayer, ChunkTransformerLayer
from espnet_prune.families.encoder import EncoderFamily, random_batch
from espnet_prune.price import FRAME
from espnet_prune.units.graph import Place
from espnet_prune.units.modules import PAIRS
from espnet_prune.units.pricing import WEIGHED, Parts

ENTERING = "entering"  # use: once per frame before chunks are made of them
FED = (61, 7, 33)  # frames that come in at a time in proofs


class ContextualBlockTransformer(EncoderFamily):
    """ESPnet's `contextual_block_transformer`."""

    stock = "contextual_block_transformer"
    pruned = "pruned_contextual_block_transformer"
    block = ChunkTransformerLayer
    has_rates = False
    modules = (
        ("attention_heads", "self_attn", "norm1"),
        ("linear_units", "feed_forward", "norm2"),
    )

    def parts(self, module: nn.Module) -> Parts:
        """Return units, counts and prices of an encoder; see `Family.parts`."""
        parts = super().parts(module)
        if not module.block_size:  # all frames at once
            return parts
        for name, layer in module.named_modules():
            if name.startswith("embed.") and isinstance(layer, WEIGHED):
                parts.uses.setdefault(name, ENTERING)
        last = len(parts.clock.chain)
        uses = {
            ENTERING: ((1, last, 1, 0),),
            FRAME: ((1, last + 1, 1, 0),),
            PAIRS: ((1, last + 2, 1, 0),),
        }
        parts.clock = dataclasses.replace(
            parts.clock,
            uses={**parts.clock.uses, **uses},
            chunk=(module.block_size, module.hop_size),
        )
        return parts

    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return random features (N, T, input_size) of up to some chunks."""
        most = module.subsample * (module.block_size + 4 * module.hop_size + 2)
        lengths = torch.randint(20, most, (1 + trial % 4,), generator=generator)
        if trial % 2 == 0:
            lengths[0] = most  # others may be of one chunk, or all
        found = lengths.tolist()
        return random_batch(module, place.input_size, found, trial), found

    def run(self, module: nn.Module, inputs: Any, ctc: Any = None) -> torch.Tensor:
        """Return the output at real frames (n, C), then that of a stream."""
        whole = super().run(module, inputs, ctc)
        if not module.block_size:
            return whole
        rows = [x[None, :length] for x, length in zip(*inputs)]
        return torch.cat([whole, *(streamed(module, row) for row in rows)])


class ContextualBlockConformer(ContextualBlockTransformer):
    """ESPnet's `contextual_block_conformer`."""

    stock = "contextual_block_conformer"
    pruned = "pruned_contextual_block_conformer"
    block = ChunkConformerLayer
    modules = (
        ("macaron_linear_units", "feed_forward_macaron", "norm_ff_macaron"),
        ("attention_heads", "self_attn", "norm1"),
        ("conv_channels", "conv_module", "norm_conv"),
        ("linear_units", "feed_forward", "norm2"),
    )


@torch.no_grad()
def streamed(
    encoder: nn.Module, x: torch.Tensor, fed: Tuple[int, ...] = FED
) -> torch.Tensor:
    """Return what an encoder says while an utterance comes in, (T', C).

    Args:
        encoder: A contextual block encoder in evaluation mode.
        x: Features (1, T, C), or tokens (1, T).
        fed: How many frames come in at a time, over and over.
    """
    dtype = next(encoder.parameters()).dtype
    x = x.to(dtype) if x.is_floating_point() else x
    state, place, found, turn = None, 0, [], 0
    while place < x.size(1):
        part = x[:, place : place + fed[turn % len(fed)]]
        place, turn = place + part.size(1), turn + 1
        output, _, state = encoder(
            part,
            torch.tensor([part.size(1)]),
            prev_states=state,
            is_final=place == x.size(1),
            infer_mode=True,
        )
        found.append(output[0])
    return torch.cat(found)
