# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What stands before the blocks: subsampling, projections, convolutions of a wave."""

from typing import Any, List, Tuple

import torch
from torch import nn

from espnet_prune.compat import CONV1D_SUBSAMPLINGS, CONV2D_SUBSAMPLINGS
from espnet_prune.deploy.onnx.frames import CONVS, Frames, reshaped, rewritten
from espnet_prune.deploy.onnx.positions import Positions
from espnet_prune.units.wave import WaveEmbed
from espnet_prune.utils import UserError

# kernel and stride of convolutions over time, in their order
Chain = List[Tuple[int, int]]


def shortest(chain: Chain, frames: int = 1) -> int:
    """Return how many inputs give so many frames."""
    for kernel, stride in reversed(chain):
        frames = (frames - 1) * stride + kernel
    return frames


def lengths_after(lengths: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Return how many frames (N,) convolutions make of each row's own length (N,)."""
    for kernel, stride in chain:
        steps = torch.div(lengths - kernel, stride, rounding_mode="floor")
        lengths = (steps + 1).clamp(min=0)
    return lengths


class Subsampling(nn.Module):
    """ESPnet's Conv1d and Conv2d subsampling.

    A frame that is counted reads no padding: each row's frames are counted from its
    own length.

    Args:
        embed: The stock module.
        frames: Of the batch; set by every pass.
    """

    def __init__(self, embed: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.flat = isinstance(embed, CONV1D_SUBSAMPLINGS)
        self.conv, self.frames = embed.conv, frames
        inside = isinstance(embed.out, nn.Sequential)  # up to ESPnet 202511
        self.out = embed.out[0] if inside else embed.out
        stock = embed.out[-1] if inside else getattr(embed, "pos_enc", None)
        self.positions = Positions(stock, frames)
        convs = [m for m in embed.conv if isinstance(m, (nn.Conv1d, nn.Conv2d))]
        self.chain: Chain = [(m.kernel_size[0], m.stride[0]) for m in convs]

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Tuple[Any, ...]:
        """Return x (N, T', d), positions or None, and lengths, of x (N, T, C)."""
        if self.flat:
            x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        else:
            x = reshaped(self.conv(x[:, None]).transpose(1, 2), 0, 0, -1)
        lengths = lengths_after(lengths, self.chain)
        self.frames.set(x.size(1), lengths)
        return (*self.positions(self.out(x)), lengths)


class Projection(nn.Module):
    """An input layer that keeps the frames: Linear, norm, positions, or nothing.

    Args:
        embed: The stock module, or None.
        frames: Of the batch; set by every pass.
    """

    chain: Chain = []

    def __init__(self, embed: Any, frames: Frames) -> None:
        super().__init__()
        layers = list(embed) if isinstance(embed, nn.Sequential) else [embed]
        layers = [layer for layer in layers if layer is not None]
        if any(
            isinstance(m, nn.Embedding) for layer in layers for m in layer.modules()
        ):
            raise UserError("input_layer: embed reads tokens, and cannot be exported")
        plain = (nn.Linear, nn.LayerNorm, nn.Dropout, nn.ReLU, nn.Identity)
        stock = [layer for layer in layers if not isinstance(layer, plain)]
        place = layers.index(stock[0]) if stock else len(layers)
        self.before = nn.Sequential(*layers[:place])
        self.after = nn.Sequential(*layers[place + 1 :])
        self.positions = Positions(stock[0] if stock else None, frames)
        self.frames = frames

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Tuple[Any, ...]:
        """Return x (N, T, d), positions or None, and lengths, of x (N, T, C)."""
        self.frames.set(x.size(1), lengths)
        x, positions = self.positions(self.before(x))
        return self.after(x), positions, lengths


class GroupNorm(nn.Module):
    """A norm of every channel over the real frames of each row.

    Args:
        norm: torch's GroupNorm with a group per channel.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the normalised x (N, C, T), of which lengths (N,) are real."""
        real = (torch.arange(x.size(2)) < lengths[:, None])[:, None].float()
        count = lengths.clamp(min=1)[:, None, None].float()
        x = x - (x * real).sum(2, keepdim=True) / count
        # what long sums have lost is all that there is in silence
        x = x - (x * real).sum(2, keepdim=True) / count
        variance = (x.square() * real).sum(2, keepdim=True) / count
        scale = self.weight[:, None] * torch.rsqrt(variance + self.eps)
        return x * scale + self.bias[:, None]


class Wave(nn.Module):
    """The convolutions over raw speech of wav2vec 2.0, HuBERT and WavLM.

    Args:
        embed: Ours, see `units/wave.py`.
        frames: Of the batch; set by every pass.
    """

    def __init__(self, embed: WaveEmbed, frames: Frames) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer.conv for layer in embed.extractor.conv_layers)
        self.norms = nn.ModuleList(
            GroupNorm(norm) if isinstance(norm, nn.GroupNorm) else norm or nn.Identity()
            for norm in (layer.layer_norm for layer in embed.extractor.conv_layers)
        )
        convs = embed.extractor.conv_layers
        self.chain: Chain = [(m.kernel_size, m.stride) for m in convs]
        self.normalize, self.eps = embed.normalize_waveform, embed.waveform_eps
        self.projection, self.norm = embed.projection, embed.norm
        self.pos_conv = rewritten(embed.pos_conv, frames, CONVS)
        self.positions, self.frames = embed.positions, frames
        self.register_buffer("scale", embed.scale)

    def forward(self, wave: torch.Tensor, lengths: torch.Tensor) -> Tuple[Any, ...]:
        """Return x (N, T, d), positions or None, and lengths, of a wave (N, S)."""
        if self.normalize:
            wave = _normalised(wave, lengths, self.eps)
        x = wave[:, None]
        for conv, norm, step in zip(self.layers, self.norms, self.chain):
            x, lengths = conv(x), lengths_after(lengths, [step])
            x = norm(x, lengths) if isinstance(norm, GroupNorm) else norm(x)
            x = nn.functional.gelu(x)
        x = self.projection(x.transpose(1, 2) * self.scale)
        self.frames.set(x.size(1), lengths)
        x = x * self.frames.real
        x = self.norm(x + self.pos_conv(x))
        positions = (
            None if self.positions is None else self.positions(self.frames.count)
        )
        return x, positions, lengths


def _normalised(wave: torch.Tensor, lengths: torch.Tensor, eps: float) -> torch.Tensor:
    """Bring the real samples of each row to mean 0 and variance 1; the rest to 0."""
    real = (torch.arange(wave.size(1)) < lengths[:, None]).float()
    count = lengths.clamp(min=1)[:, None].float()
    centred = (wave - (wave * real).sum(1, keepdim=True) / count) * real
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * torch.rsqrt(variance + eps)


def exported_embed(embed: Any, frames: Frames) -> nn.Module:
    """Return what stands before the blocks of any family, for export.

    Raises:
        UserError: It reads tokens, or has positions of an unknown kind.
    """
    if isinstance(embed, WaveEmbed):
        return Wave(embed, frames)
    if isinstance(embed, (*CONV1D_SUBSAMPLINGS, *CONV2D_SUBSAMPLINGS)):
        return Subsampling(embed, frames)
    return Projection(embed, frames)
