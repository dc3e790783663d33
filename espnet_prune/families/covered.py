# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Refuse encoders that look like a known family, but have parts of their own.

A subclass may add a second stack of blocks or another kind of module. No unit covers
such a part, so it would neither be priced as it is nor cut.
"""

from typing import Tuple

from torch import nn

from espnet_prune.compat import (
    ConvolutionalGatingMLP,
    ConvolutionModule,
    FastSelfAttention,
    MultiHeadedAttention,
)
from espnet_prune.families.merge import Constant
from espnet_prune.units.modules import FEED_FORWARDS
from espnet_prune.utils import UserError

REMEDY = (
    "use a Conformer, Transformer, Branchformer, E-Branchformer or pruned_wav2vec2 "
    "encoder"
)
_MODULES = (
    MultiHeadedAttention,
    FastSelfAttention,
    ConvolutionModule,
    ConvolutionalGatingMLP,
    *FEED_FORWARDS,
    nn.LayerNorm,
    # those that merge branches, or attention's input and output
    nn.Linear,
    nn.Conv1d,
    Constant,
)


def check_covered(
    encoder: nn.Module, parts: Tuple[str, ...], kinds: Tuple[type, ...] = ()
) -> None:
    """Check that every part with parameters is of a kind that units know.

    Args:
        encoder: An encoder.
        parts: Names of the parts that its family knows.
        kinds: Modules of blocks that only this family knows.

    Raises:
        UserError: A part of the encoder, or a module of a block, is of another kind.
    """
    # some are called like the class they go back to
    kind = f"{type(encoder).__name__} of {type(encoder).__module__}"
    known = (*_MODULES, *kinds)
    for name, part in encoder.named_children():
        # blocks of another stack are none of ours, though there be none
        apart = _has_parameters(part) or isinstance(part, nn.ModuleList)
        if name not in parts and apart:
            raise UserError(
                f"{kind} has no pruning adapter: its {name} is covered by no unit; "
                f"{REMEDY}"
            )
    for i, block in enumerate(encoder.encoders):
        for name, module in block.named_children():
            if _has_parameters(module) and not isinstance(module, known):
                raise UserError(
                    f"{kind} has no pruning adapter: encoders.{i}.{name} is a "
                    f"{type(module).__name__}, which no unit covers; {REMEDY}"
                )


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
