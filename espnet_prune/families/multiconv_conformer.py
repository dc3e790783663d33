# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Multi-convolution Conformers: a cgMLP with several kernels is the convolution.

Where their outputs are added (`multicgmlp_type: sum`), a channel is one of each kernel.
The other types mix channels: their cgMLP stays, or goes with its block.
"""

from typing import Any, Mapping

from espnet2.asr.encoder.multiconvformer_encoder import MultiConvConformerEncoder
from espnet2.asr.layers.multiconv_cgmlp import MultiConvolutionalGatingMLP
from torch import nn

from espnet_prune.families.branchformer import EBranchformer
from espnet_prune.families.conformer import Conformer
from espnet_prune.families.encoder import Modules
from espnet_prune.structure import Stack


class MultiConvConformer(Conformer):
    """ESPnet's `multiconv_conformer`."""

    stock, pruned = "multiconv_conformer", "pruned_multiconv_conformer"
    kinds = (MultiConvolutionalGatingMLP,)
    modules = (
        *Conformer.modules[:2],
        ("cgmlp_units", "conv_module", "norm_conv"),
        *Conformer.modules[3:],
    )
    uniform = EBranchformer.uniform
    argument = staticmethod(EBranchformer.argument)

    def fits(self, module: nn.Module) -> bool:
        """Say whether this is the class, stock or ours."""
        return isinstance(module, MultiConvConformerEncoder)

    def modules_of(self, block: nn.Module) -> Modules:
        """Return the modules of a block, without one whose channels are mixed."""
        gate = getattr(block.conv_module, "csgu", None)
        mixed = gate is not None and gate.arch_type != "sum"
        return tuple(
            row for row in self.modules if row[1] != "conv_module" or not mixed
        )

    def is_stock_shaped(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> bool:
        """Say whether the stock class can have a shape: the kernels divide it."""
        kernels = str(conf.get("multicgmlp_kernel_sizes", "7,15,23,31")).split(",")
        divided = [n % len(kernels) == 0 for n in kept.blocks.get("cgmlp_units", [])]
        return all(divided) and super().is_stock_shaped(conf, dense, kept)
