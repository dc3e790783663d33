# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Positions made in the graph, so that no table bounds the length."""

import math
from typing import Any, Tuple

import torch
from torch import nn

from espnet_prune.compat import (
    ConvolutionalPositionalEmbedding,
    LegacyRelPositionalEncoding,
    PositionalEncoding,
    RelPositionalEncoding,
    ScaledPositionalEncoding,
)
from espnet_prune.deploy.onnx.frames import BLOCKS, CONVS, Frames, rewritten
from espnet_prune.utils import UserError


class Positions(nn.Module):
    """What ESPnet's positional encodings do to x, and what they hand on to blocks.

    Args:
        stock: The encoding of ESPnet, or None.
        frames: Of the batch.

    Raises:
        UserError: Another kind of positions.
    """

    def __init__(self, stock: Any, frames: Frames) -> None:
        super().__init__()
        kinds = (RelPositionalEncoding, PositionalEncoding)
        self.conv, self.frames = None, frames
        if isinstance(stock, ConvolutionalPositionalEmbedding):
            self.conv = rewritten(stock, frames, CONVS)
        elif stock is not None and not isinstance(stock, kinds):
            raise UserError(
                f"positions of kind {type(stock).__name__} cannot be exported yet"
            )
        self.kind, self.width = type(stock), getattr(stock, "d_model", 0)
        self.scale = 1.0 if stock is None else getattr(stock, "xscale", 1.0)
        self.alpha = float(getattr(stock, "alpha", 1.0))
        self.table = 0 if self.conv or not self.width else stock.pe.size(1)
        if self.kind is ScaledPositionalEncoding:
            self.scale = 1.0

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, Any]:
        """Return x (N, T, d) as blocks take it, and positions (..., d) or None."""
        if self.conv is not None:
            return self.conv(x), None
        if not self.width:
            return x, None
        count = self.frames.count
        x = x * self.scale
        if issubclass(self.kind, RelPositionalEncoding):
            # some more on the left than there are, for `RelativeAttention`
            left = BLOCKS * self.frames.step
            return x, waves(-torch.arange(-left, count).float(), self.width)
        positions = torch.arange(count).float()
        if issubclass(self.kind, LegacyRelPositionalEncoding):
            return x, self._legacy(positions)
        return x + self.alpha * waves(positions, self.width), None

    def _legacy(self, steps: torch.Tensor) -> torch.Tensor:
        """Return positions (N, 2, T, d): of frames to the right, and of others.

        ESPnet counts them down from the end of its table, and reads the others from the
        end of the utterance on.

        Args:
            steps: 0, 1, ... T - 1; (T,).
        """
        lengths = self.frames.lengths[:, None].float()
        right = lengths.clamp(min=self.table) - 1 - steps
        left = right + steps[-1:] + 1 - lengths
        return waves(torch.stack((right, left), dim=1), self.width)


def waves(positions: torch.Tensor, width: int) -> torch.Tensor:
    """Return sines and cosines (..., width) of positions (...)."""
    steps = torch.arange(0, width, 2).float()
    rates = torch.exp(steps * -(math.log(10000.0) / width))
    angles = positions[..., None] * rates
    both = torch.stack((angles.sin(), angles.cos()), dim=-1)
    return both.flatten(-2)[..., :width]
