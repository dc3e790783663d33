# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Contextual-block encoders as they are exported.

Frames come in blocks that overlap. Each block has two rows more: the first says what
the block before has heard, the last what this one hears, which is the first of the
next. So all blocks of an utterance are a batch, and a block alone is a step of a
stream; both run the same code.
"""

from typing import Any, Callable, List, Tuple

import torch
from torch import nn

from espnet_prune.compat import (
    CONTEXTUAL_ENCODERS,
    Conv2dSubsamplingWOPosEnc,
    ConvolutionModule,
    MultiHeadedAttention,
)
from espnet_prune.deploy.onnx.attention import SelfAttention
from espnet_prune.deploy.onnx.blocks import Convolution
from espnet_prune.deploy.onnx.embed import Subsampling
from espnet_prune.deploy.onnx.frames import CONVS, MINUS, Frames, Maker, rewritten
from espnet_prune.deploy.onnx.positions import waves
from espnet_prune.utils import UserError

# (layer, what blocks have there in their last row (M, 1, d)) -> their first rows
Before = Callable[[int, torch.Tensor], torch.Tensor]


class ContextAttention(SelfAttention):
    """Attention in a block; the first row is heard, and hears nothing itself."""

    def forward(self, query: torch.Tensor, *ignored: Any, **more: Any) -> torch.Tensor:
        """Attend from query (M, rows, d), to which key and value are equal."""
        q, k, v = self.parts(query)
        scores = torch.matmul(q[:, :, 1:], k.transpose(-2, -1))
        return self.joined(nn.functional.pad(self.mean(scores, v), (0, 0, 1, 0)))


_MAKERS: List[Maker] = [
    (MultiHeadedAttention, ContextAttention),
    (ConvolutionModule, Convolution),
    *CONVS,
]


class ContextLayer(nn.Module):
    """One layer of the encoder, of a Transformer or a Conformer.

    Args:
        layer: ESPnet's ContextualBlockEncoderLayer.
        frames: Which rows of blocks are real.
    """

    def __init__(self, layer: nn.Module, frames: Frames) -> None:
        super().__init__()
        self.layer = rewritten(layer, frames, _MAKERS)
        macaron = getattr(layer, "feed_forward_macaron", None) is not None
        conv = getattr(layer, "conv_module", None) is not None
        # name of the norm and of the module, and its weight in the sum
        half = getattr(layer, "ff_scale", 1.0)
        self.parts: List[Tuple[str, str, float]] = [
            *[("norm_ff_macaron", "feed_forward_macaron", half)] * macaron,
            ("norm1", "self_attn", 1.0),
            *[("norm_conv", "conv_module", 1.0)] * conv,
            ("norm2", "feed_forward", half),
        ]
        self.ends = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (M, rows, d) of x (M, rows, d)."""
        first = self.layer.normalize_before
        for norm_name, name, weight in self.parts:
            norm, module = getattr(self.layer, norm_name), getattr(self.layer, name)
            heard = norm(x) if first else x
            found = module(heard)
            if name == "self_attn" and self.layer.concat_after:
                found = self.layer.concat_linear(torch.cat((heard, found), dim=-1))
            x = x + weight * found
            x = x if first else norm(x)
        return self.layer.norm_final(x) if self.ends else x


class ContextEncoder(nn.Module):
    """A contextual-block encoder, with CTC on top.

    Args:
        encoder: ESPnet's, in evaluation mode; it is left as it is, and its weights are
            shared.
        ctc: CTC module of the model, or None.

    Raises:
        UserError: Its input layer or its blocks are of a kind that cannot be exported.
    """

    taps: List[int] = []

    def __init__(self, encoder: nn.Module, ctc: Any = None) -> None:
        super().__init__()
        if not isinstance(encoder.embed, Conv2dSubsamplingWOPosEnc):
            raise UserError(
                "encoder_conf: input_layer: contextual blocks are exported with "
                "conv2d, conv2d6 and conv2d8"
            )
        self.block, self.hop = encoder.block_size, encoder.hop_size
        self.ahead = encoder.look_ahead
        self.past = self.block - self.hop - self.ahead  # frames before what is said
        if self.past < 0 or self.hop < 1 or self.ahead < 0 or not encoder.init_average:
            raise UserError(
                "encoder_conf: contextual blocks are exported with init_average: true "
                "and a block_size of hop_size and look_ahead at least"
            )
        self.frames = Frames()
        self.embed = Subsampling(encoder.embed, self.frames)
        self.blocks = nn.ModuleList(
            ContextLayer(layer, self.frames) for layer in encoder.encoders
        )
        self.after_norm = (
            encoder.after_norm if encoder.normalize_before else nn.Identity()
        )
        self.ctc_lo = None if ctc is None else ctc.ctc_lo
        self.width, self.scale = encoder.pos_enc.d_model, encoder.pos_enc.xscale
        self.placed = encoder.ctx_pos_enc

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, List[torch.Tensor]]:
        """Encode whole utterances x (N, T, C).

        Returns:
            The output (N, T', d), its lengths (N,), and log-probabilities of CTC
            (N, T', V), if there is CTC.
        """
        x, _, lengths = self.embed(x, lengths)
        # an utterance has as many blocks as it has alone, whatever the batch has
        own = ((lengths - self.block + 2 * self.hop - 1) // self.hop).clamp(min=1)
        count = own.max()
        begins = torch.arange(count) * self.hop
        inside = begins[:, None] + torch.arange(self.block)
        chunks = x[:, torch.minimum(inside, lengths.max() - 1)].flatten(0, 1)
        sizes = (lengths[:, None] - begins).clamp(min=1, max=self.block).flatten()
        numbers = (torch.arange(count) + 0 * lengths[:, None]).flatten()
        short = (lengths[:, None] + 0 * begins <= self.block).flatten()

        def before(layer: int, last: torch.Tensor) -> torch.Tensor:
            rows = last.reshape(-1, count, self.width)
            return torch.cat((rows[:, :1], rows[:, :-1]), dim=1).reshape(last.shape)

        y = self.encode(chunks, sizes, numbers, short, before)
        # a frame is said by the block that hears enough after it, or by the last one
        places = torch.arange(x.size(1))
        said = ((places - self.past) // self.hop).clamp(min=0)
        said = torch.minimum(said + 0 * own[:, None], own[:, None] - 1)
        row = (places - said * self.hop).clamp(max=self.block - 1)
        first = torch.arange(x.size(0))[:, None] * count
        y = y.flatten(0, 1)[(first + said) * self.block + row]
        return y, lengths, self.said(y)

    def encode(
        self,
        x: torch.Tensor,
        sizes: torch.Tensor,
        numbers: torch.Tensor,
        short: torch.Tensor,
        before: Before,
    ) -> torch.Tensor:
        """Run blocks of frames.

        Args:
            x: Frames after the subsampling (M, block, d).
            sizes: How many of each block are real (M,); the others are zeros.
            numbers: Of the blocks in their utterances (M,), from 0.
            short: Of blocks that are a whole utterance (M,): they have no context.
            before: What the blocks before have heard.

        Returns:
            (M, block, d).
        """
        places = torch.arange(self.block)
        real = (places < sizes[:, None])[..., None].float()
        x = x * real
        last = x.sum(1, keepdim=True) / sizes[:, None, None]
        if self.placed:
            last = last * self.scale + waves(numbers[:, None].float(), self.width)
        positions = (numbers[:, None] * self.hop + places).float()
        x = (x * self.scale + waves(positions, self.width)) * real
        alone = nn.functional.pad(real, (0, 0, 1, 1))
        short = short[:, None, None]
        self.frames.real = torch.where(short, alone, torch.ones(1))
        # no row of a block hears the last one, but for the last layer's convolution
        heard = nn.functional.pad(torch.ones(self.block + 1, 1), (0, 0, 0, 1))
        heard = torch.where(short, alone, heard)[:, None].transpose(-2, -1)
        self.frames.bias = (1.0 - heard) * MINUS
        for number, layer in enumerate(self.blocks):
            x = layer(torch.cat((before(number, last), x, last), dim=1))
            x, last = x[:, 1:-1], x[:, -1:]
        return self.after_norm(x)

    def said(self, x: torch.Tensor) -> List[torch.Tensor]:
        """Return log-probabilities of CTC, in a list, or an empty one."""
        return [] if self.ctc_lo is None else [self.ctc_lo(x).log_softmax(-1)]


def is_contextual(encoder: nn.Module) -> bool:
    """Say whether an encoder hears speech in blocks."""
    return isinstance(encoder, CONTEXTUAL_ENCODERS)
