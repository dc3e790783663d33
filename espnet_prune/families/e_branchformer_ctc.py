# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""OWSM-CTC's encoder: an E-Branchformer that is told a language, a task and a prompt.

Language and task are two frames before the first. Some blocks attend to what a second
encoder makes of the text before; what is paid is that of a prompt of one token, which
says that there is none.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import nn

from espnet_prune.compat import (
    CONV1D_SUBSAMPLINGS,
    CONV2D_SUBSAMPLINGS,
    CTCBranchformerLayer,
)
from espnet_prune.families.branchformer import EBranchformer
from espnet_prune.families.encoder import TAPS
from espnet_prune.price import FRAME, ONCE
from espnet_prune.structure import Stack
from espnet_prune.units.graph import Place
from espnet_prune.units.modules import PAIRS, PAIRS_OF_STEPS, STEPS
from espnet_prune.units.pricing import WEIGHED, Parts

PREFIX = 2  # frames of language and task
CROSS = "cross_attention_heads"
HEARD = "heard"  # use: once per frame of speech, without the prefix
# attributes of ESPnet's encoder, and what it takes for them
PROMPT = ("prefix_embeds", "memory", "memory_mask")


class EBranchformerCTC(EBranchformer):
    """ESPnet's `e_branchformer_ctc`."""

    stock, pruned = "e_branchformer_ctc", "pruned_e_branchformer_ctc"
    block = CTCBranchformerLayer
    taps_stay = True
    modules = (*EBranchformer.modules, (CROSS, "cross_attn", "norm_cross_attn"))

    def products(
        self, field: str, module: Optional[nn.Module]
    ) -> Optional[Dict[str, int]]:
        """Return the MACs of one head's products: with one token in cross-attention."""
        if field == CROSS and hasattr(module, "d_k"):
            return {FRAME: 2 * module.d_k}
        return super().products(field, module)

    def more(self, parts: Parts, path: str, block: nn.Module, index: int) -> None:
        """Add what a block costs beside its units; keys and values are the prompt's."""
        super().more(parts, path, block, index)
        for linear in ("linear_k", "linear_v"):
            parts.uses[f"{path}.cross_attn.{linear}"] = ONCE

    def parts(self, module: nn.Module) -> Parts:
        """Return units, counts and prices of an encoder; see `Family.parts`."""
        parts = super().parts(module)
        if not takes_prefix(module):
            return parts
        for name, layer in module.embed.named_modules():
            if isinstance(layer, WEIGHED):
                parts.uses.setdefault(f"embed.{name}", HEARD)
        last, n = len(parts.clock.chain), PREFIX
        ((times, *_),) = parts.clock.uses[TAPS]
        uses = {
            HEARD: ((1, last, 1, 0),),
            FRAME: ((1, last, 1, 0), (n, 0, 0, 0)),
            TAPS: ((times, last, 1, 0), (times * n, 0, 0, 0)),
            PAIRS: ((1, last, 2, 0), (2 * n, last, 1, 0), (n * n, 0, 0, 0)),
            STEPS: ((2, last, 1, 0), (2 * n - 1, 0, 0, 0)),
            PAIRS_OF_STEPS: (
                (2, last, 2, 0),
                (4 * n - 1, last, 1, 0),
                (2 * n * n - n, 0, 0, 0),
            ),
        }
        uses = {**parts.clock.uses, **uses}
        parts.clock = dataclasses.replace(parts.clock, uses=uses)
        return parts

    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return random features, lengths and prompts of 1 to 4 utterances."""
        (x, lengths), found = super().draw(module, place, generator, trial)
        return (x, lengths, random_prompt(module, len(x), trial)), found

    def run(
        self, module: nn.Module, inputs: Any, ctc: Any = None, **more: Any
    ) -> torch.Tensor:
        """Return the output of an encoder at real frames, the prefix included."""
        *own, prompt = inputs
        dtype = next(module.parameters()).dtype
        given = {
            key: value.to(dtype) if value.is_floating_point() else value
            for key, value in prompt.items()
        }
        return super().run(module, own, ctc, **given, **more)

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments of the stock class; see `Family.stock_conf`."""
        found = super().stock_conf(conf, dense, kept)
        if found is not None and CROSS in kept.blocks:
            found["use_cross_attention"] = [n > 0 for n in kept.blocks[CROSS]]
        return found

    def is_stock_shaped(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> bool:
        """Say whether the stock class can have a shape: all heads of a block, or none.

        So it is with cross-attention alone.
        """
        full = dict(zip(dense.kept_blocks, dense.blocks.get(CROSS, [])))
        heads = zip(kept.kept_blocks, kept.blocks.get(CROSS, []))
        whole = all(n in (0, full[block]) for block, n in heads)
        return whole and super().is_stock_shaped(conf, dense, kept)


def takes_prefix(encoder: nn.Module) -> bool:
    """Say whether language and task become frames of an encoder."""
    return isinstance(encoder.embed, (*CONV1D_SUBSAMPLINGS, *CONV2D_SUBSAMPLINGS))


def random_prompt(
    encoder: nn.Module, count: int, seed: int, most: int = 6
) -> Dict[str, torch.Tensor]:
    """Return prefixes (N, 2, C), memories (N, M, C), M <= `most`, and masks (N, 1, M).

    Args:
        encoder: The encoder that takes them.
        count: N.
        seed: Seed of all of it.
        most: Tokens of a prompt, at most.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, most + 1, (count,), generator=generator)
    shapes = ((count, PREFIX), (count, int(lengths.max())))
    prefix, memory = (
        torch.randn(*shape, encoder.output_size(), generator=generator)
        for shape in shapes
    )
    mask = torch.arange(memory.size(1)) < lengths[:, None]
    return dict(zip(PROMPT, (prefix, memory, mask[:, None])))
