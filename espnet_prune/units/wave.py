# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From raw speech to the first block of wav2vec 2.0, HuBERT and WavLM.

Convolutions over the waveform, a layer norm and a projection, a convolution for the
positions. The convolutions are a few per cent of the model's size, but a third of its
computation (see `espnet_prune.bin.cost`).

A channel's mask multiplies the input of the next convolution, after norm and GELU. Two
things need care:

- A layer norm that runs over the channels (after every convolution of the Large models,
  and before the projection of all) takes its statistics over the open channels only
  while masks are attached; then masked equals cut. The group norm of the Base models
  has a group per channel, and needs nothing.
- The layer norm before the projection would undo any scaling of its weights, so the
  soft values of the last convolution stay as a vector: the buffer `scale`, floats, one
  per channel, 1 in a model that was never cut by soft masks.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.units.gated import RelativePositions
from espnet_prune.units.graph import MaskPoint, Slice, Unit


def spans(shape: Tuple[int, int], prob: float, length: int) -> torch.Tensor:
    """Draw spans to be masked; they may overlap.

    Args:
        shape: (N, T).
        prob: Share of T that spans would cover without overlap.
        length: Length of a span.

    Returns:
        (N, T), True inside a span.
    """
    starts = (torch.rand(shape) < prob / length).float()
    reach = nn.functional.pad(starts, (length - 1, 0))[:, None]
    return nn.functional.max_pool1d(reach, length, stride=1)[:, 0] > 0


class Hidden(NamedTuple):
    """What is hidden of one batch.

    Attributes:
        frames: (N, T), True at frames that `vector` stands for, or None.
        channels: (N, d), True at channels that are set to 0, or None.
        vector: (d,), used by a model that has none of its own, or None.
    """

    frames: Optional[torch.Tensor]
    channels: Optional[torch.Tensor]
    vector: Optional[torch.Tensor]


def receptive_field(layers: Sequence[Tuple[int, int]]) -> int:
    """Return how many samples one frame is made of.

    Args:
        layers: Kernel and stride of every convolution.
    """
    samples = 1
    for kernel, stride in reversed(layers):
        samples = (samples - 1) * stride + kernel
    return samples


class WaveEmbed(nn.Module):
    """Everything before the first block.

    The group norm of the Base models runs over the whole padded waveform, as it did
    when they were trained: what stands beside an utterance in a batch has an influence.

    Args:
        extractor: torchaudio's `FeatureExtractor`.
        projection: torchaudio's `FeatureProjection`.
        pos_conv: torchaudio's `ConvolutionalPositionalEmbedding`.
        norm: Layer norm after the positions, or nn.Identity.
        dropout_rate: Dropout before the first block.
        positions: WavLM's relative positions.
        normalize_waveform: Bring every utterance to mean 0 and variance 1 first, as
            the Large models expect.
        waveform_eps: What is added to the variance.
        mask_time: Probability and length of masked spans of frames, in training only.
        mask_channel: The same of channels.

    Attributes:
        hidden: What the last pass hid, or None.
        to_hide: What to hide instead of drawing it, in evaluation, too; None draws in
            training and hides nothing in evaluation.
    """

    def __init__(
        self,
        *,
        extractor: nn.Module,
        projection: nn.Module,
        pos_conv: nn.Module,
        norm: nn.Module,
        dropout_rate: float = 0.0,
        positions: Optional[RelativePositions] = None,
        normalize_waveform: bool = False,
        waveform_eps: float = 1e-5,
        mask_time: Tuple[float, int] = (0.0, 10),
        mask_channel: Tuple[float, int] = (0.0, 10),
    ) -> None:
        super().__init__()
        self.extractor, self.projection = extractor, projection
        self.pos_conv, self.norm = pos_conv, norm
        self.dropout = nn.Dropout(dropout_rate)
        self.positions = positions
        self.normalize_waveform = normalize_waveform
        self.waveform_eps = waveform_eps
        self.mask_time, self.mask_channel = mask_time, mask_channel
        self.hidden: Optional[Hidden] = None
        self.to_hide: Optional[Hidden] = None
        convs = [layer.conv for layer in extractor.conv_layers]
        self.register_buffer("scale", torch.ones(convs[-1].out_channels))
        if mask_time[0] > 0:
            width = projection.projection.out_features
            self.mask_embedding = nn.Parameter(torch.rand(width))

    def shortest(self) -> int:
        """Return the number of samples that give one frame."""
        layers = self.extractor.conv_layers
        return receptive_field([(m.kernel_size, m.stride) for m in layers])

    def forward(self, wave: torch.Tensor, lengths: torch.Tensor) -> Tuple:
        """Return what the first block takes.

        Args:
            wave: Speech (N, samples), zero after each utterance's length.
            lengths: (N,).

        Returns:
            x (N, T, d), or (x, relative positions (1, H, T, T)) for WavLM; and the
            mask (N, 1, T), True at real frames.
        """
        if self.normalize_waveform:
            real = torch.arange(wave.size(1), device=wave.device) < lengths[:, None]
            wave = _normalised(wave, real, self.waveform_eps)
        x, lengths = self.extractor(wave, lengths)
        x = x[:, : int(lengths.max())]
        mask = torch.arange(x.size(1), device=x.device) < lengths[:, None]
        x = self.projection(x * self.scale)
        self.hidden = self.to_hide
        if self.training and self.hidden is None:
            self.hidden = self._draw(x)
        if self.hidden is not None:
            x = self._hide(x, self.hidden)
        x = x.masked_fill(~mask[..., None], 0.0)
        x = self.dropout(self.norm(x + self.pos_conv(x)))
        mask = mask[:, None]
        if self.positions is None:
            return x, mask
        return (x, self.positions(x.size(1))), mask

    def _draw(self, x: torch.Tensor) -> Hidden:
        """Draw spans of frames and of channels."""
        frames = channels = vector = None
        if self.mask_time[0] > 0:
            frames = spans(x.shape[:2], *self.mask_time).to(x.device)
            vector = self.mask_embedding.detach()
        if self.mask_channel[0] > 0:
            channels = spans((len(x), x.size(2)), *self.mask_channel).to(x.device)
        return Hidden(frames, channels, vector)

    def _hide(self, x: torch.Tensor, hidden: Hidden) -> torch.Tensor:
        """Hide frames and channels of x (N, T, d)."""
        if hidden.frames is not None:
            vector = getattr(self, "mask_embedding", hidden.vector)
            x = torch.where(hidden.frames[..., None], vector.to(x.dtype), x)
        if hidden.channels is not None:
            x = x.masked_fill(hidden.channels[:, None], 0.0)
        return x


def _normalised(wave: torch.Tensor, real: torch.Tensor, eps: float) -> torch.Tensor:
    """Bring the real samples of each row to mean 0 and variance 1; the rest to 0."""
    count = real.sum(1, keepdim=True).clamp(min=1)
    mean = (wave * real).sum(1, keepdim=True) / count
    centred = (wave - mean) * real
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * torch.rsqrt(variance + eps)


def wave_units(name: str, embed: WaveEmbed) -> List[Unit]:
    """Return the units of the convolutions over raw speech: their channels.

    Args:
        name: Path of the `WaveEmbed` in the encoder.
        embed: The module.
    """
    layers, units = list(embed.extractor.conv_layers), []
    for i, layer in enumerate(layers):
        path = f"{name}.extractor.conv_layers.{i}"
        tensors = [f"{path}.conv.weight"]
        if layer.conv.bias is not None:
            tensors.append(f"{path}.conv.bias")
        also = []
        if layer.layer_norm is not None:
            tensors += [f"{path}.layer_norm.weight", f"{path}.layer_norm.bias"]
        if isinstance(layer.layer_norm, nn.LayerNorm):
            also.append(MaskPoint(f"{path}.layer_norm", "norm", dim=1))
        producers = [Slice(tensor, 0) for tensor in tensors]
        if i + 1 < len(layers):
            reader = f"{name}.extractor.conv_layers.{i + 1}.conv"
            point, consumer = MaskPoint(reader, "pre", 1), Slice(f"{reader}.weight", 1)
        else:
            reader = f"{name}.projection"
            point, consumer = MaskPoint(reader, "pre"), Slice(f"{name}.scale", 0)
            also.append(MaskPoint(f"{reader}.layer_norm", "norm"))
            # a removed channel leaves the norm as its bias, which is not 0
            also.append(MaskPoint(f"{reader}.projection", "open"))
            for tensor in ("weight", "bias"):
                producers.append(Slice(f"{reader}.layer_norm.{tensor}", 0))
            producers.append(Slice(f"{reader}.projection.weight", 1))
        units.append(
            Unit(
                name=f"{path}.channels",
                kind="wave_channel",
                size=layer.conv.out_channels,
                point=point,
                field="wave_channels",
                index=i,
                producers=tuple(producers),
                consumers=(consumer,),
                also=tuple(also),
            )
        )
    return units
