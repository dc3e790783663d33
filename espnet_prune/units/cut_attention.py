# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Attention of which some heads are removed, for every way in which ESPnet decodes."""

from typing import Tuple

import torch
from torch import nn

from espnet_prune.compat import MultiHeadedAttention


class CutAttention(MultiHeadedAttention):
    """Multi-head attention whose heads do not fill the residual stream.

    ESPnet's own decodes partially autoregressively as if all heads together were as
    wide as the input. This one looks at its heads; in everything else it is the same.
    """

    def forward_qkv(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        expand_kv: bool = False,
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the heads ask, what they look up, and what they find.

        Args:
            query: (N, L, d).
            key: (N, T, d).
            value: (N, T, d).
            expand_kv: All rows of key and value are the same; compute one.

        Returns:
            (N, h, L, k), (N, h, T, k) and (N, h, T, k).
        """
        if not expand_kv:
            return super().forward_qkv(query, key, value)
        q, k, v = (
            linear(x).unflatten(-1, (self.h, self.d_k)).transpose(1, 2)
            for linear, x in (
                (self.linear_q, query),
                (self.linear_k, key[:1]),
                (self.linear_v, value[:1]),
            )
        )
        rows = (len(query), -1, -1, -1)
        return self.q_norm(q), self.k_norm(k).expand(rows), v.expand(rows)


def replace_attentions(block: nn.Module) -> None:
    """Make the attentions of a decoder's block, in place, ones that know their heads.

    Args:
        block: An ESPnet DecoderLayer; what it has removed stays removed.
    """
    for name, module in list(block.named_children()):
        if type(module) is MultiHeadedAttention:
            cut = CutAttention.__new__(CutAttention)
            vars(cut).update(vars(module))
            setattr(block, name, cut)
