# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A self-supervised model as the front end of a graph."""

from typing import Any, Tuple

import torch
from torch import nn

from espnet_prune.deploy.onnx.blocks import exported_block
from espnet_prune.deploy.onnx.embed import Wave, shortest
from espnet_prune.deploy.onnx.frames import Frames


class SelfSupervised(nn.Module):
    """Our `pruned_ssl`, dense or cut.

    Args:
        frontend: The module, in evaluation mode; its weights are shared.
    """

    def __init__(self, frontend: Any) -> None:
        super().__init__()
        self.frames, self.hop = Frames(), frontend.hop_length
        self.width = frontend.output_size()
        self.embed = Wave(frontend.embed, self.frames)
        self.blocks = nn.ModuleList(
            exported_block(block, self.frames) for block in frontend.encoders
        )
        self.after_norm = frontend.after_norm if frontend.final_norm else nn.Identity()
        self.repeat_last = frontend.repeat_last
        self.normalize = frontend.normalize_states
        self.summed = frontend.layer_weights is not None
        if self.summed:
            self.register_buffer("shares", frontend.shares().detach())

    def shortest(self, frames: int) -> int:
        """Return how many samples give so many frames."""
        if not self.repeat_last:
            return shortest(self.embed.chain, frames)
        return max(shortest(self.embed.chain), (frames - 1) * self.hop + 1)

    def forward(
        self, wave: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, T, d) and their lengths (N,) of a wave (N, S)."""
        x, positions, counted = self.embed(wave, lengths)
        found = self.shares[0] * self._normal(x) if self.summed else None
        for number, block in enumerate(self.blocks, start=1):
            x = block(x if positions is None else (x, positions), None)[0]
            x = x[0] if isinstance(x, tuple) else x
            if self.summed:
                found = found + self.shares[number] * self._normal(x)
        last = self._normal(self.after_norm(x))
        x = found + self.shares[-1] * last if self.summed else last
        if not self.repeat_last:
            return x, counted
        frames = torch.arange((wave.size(1) + self.hop - 1) // self.hop)
        frames = torch.minimum(frames, (counted[:, None] - 1).clamp(min=0))
        x = x.gather(1, frames[..., None].expand(-1, -1, self.width))
        return x, (lengths + self.hop - 1) // self.hop

    def _normal(self, state: torch.Tensor) -> torch.Tensor:
        if not self.normalize:
            return state
        return nn.functional.layer_norm(state, [self.width])
