# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Multi-convolution Conformers: a cgMLP with several kernels is the convolution.

Where their outputs are added (`multicgmlp_type: sum`), a channel is one of each kernel.
The other types mix channels: their cgMLP stays, or goes with its block.
"""

from typing import Any, List, Mapping, Optional

from espnet2.asr.encoder.multiconvformer_encoder import MultiConvConformerEncoder
from espnet2.asr.layers.multiconv_cgmlp import MultiConvolutionalGatingMLP
from torch import nn

from espnet_prune.families.branchformer import EBranchformer
from espnet_prune.families.conformer import Conformer
from espnet_prune.families.encoder import add_counts
from espnet_prune.structure import Counts, Stack
from espnet_prune.units.cgmlp import cgmlp_units
from espnet_prune.units.graph import Unit


class MultiConvConformer(Conformer):
    """ESPnet's `multiconv_conformer`."""

    stock, pruned = "multiconv_conformer", "pruned_multiconv_conformer"
    modules = (MultiConvolutionalGatingMLP,)
    uniform = EBranchformer.uniform
    argument = staticmethod(EBranchformer.argument)

    def fits(self, module: nn.Module) -> bool:
        """Say whether this is the class, stock or ours."""
        return isinstance(module, MultiConvConformerEncoder)

    def add_channels(self, counts: Counts, encoder: nn.Module) -> None:
        """Add the counts of channels after the gating, where they can go."""
        if not any(_is_mixed(block.conv_module) for block in encoder.encoders):
            field = ("cgmlp_units", "conv_module")
            add_counts(counts, encoder, *field, lambda m: m.channel_proj2.in_features)

    def convolution_units(
        self, path: str, module: Any, index: int, norm: Optional[str]
    ) -> List[Unit]:
        """Return the units of a cgMLP."""
        return [] if _is_mixed(module) else cgmlp_units(path, module, index, norm)

    def is_stock_shaped(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> bool:
        """Say whether the stock class can have a shape: the kernels divide it."""
        kernels = str(conf.get("multicgmlp_kernel_sizes", "7,15,23,31")).split(",")
        divided = [n % len(kernels) == 0 for n in kept.blocks.get("cgmlp_units", [])]
        return all(divided) and super().is_stock_shaped(conf, dense, kept)


def _is_mixed(module: Any) -> bool:
    """Say whether the channels of a convolution module depend on each other."""
    return hasattr(module, "csgu") and module.csgu.arch_type != "sum"
