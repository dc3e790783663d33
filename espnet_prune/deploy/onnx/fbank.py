# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kaldi's filter banks inside the graph."""

from typing import Any, Tuple

import torch
from torch import nn

from espnet_prune.deploy.onnx.spectrum import MelPower, frames_of
from espnet_prune.frontends.kaldi_fbank import FLOOR, PREEMPHASIS, SCALE, povey


class Fbank(nn.Module):
    """Our KaldiFbank for one channel.

    Args:
        frontend: The module.
    """

    def __init__(self, frontend: nn.Module) -> None:
        super().__init__()
        self.hop, self.win = frontend.hop_length, frontend.win_length
        self.first, self.span = 0, self.win  # as those of LogMel
        # a power of two, so that it may stand where the window does
        window = SCALE * povey(self.win)
        self.power = MelPower(window, frontend.n_fft, frontend.mel)

    def shortest(self, frames: int) -> int:
        """Return how many samples give so many frames."""
        return self.win + (frames - 1) * self.hop

    def counted(self, samples: Any) -> Any:
        """Return the frames of so many samples; a number or (N,)."""
        return (samples - self.win) // self.hop + 1

    def forward(
        self, wave: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, T, M) and their lengths (N,) of a wave (N, S)."""
        return self.bare(wave, self.counted(wave.size(1))), self.counted(lengths)

    def bare(self, wave: torch.Tensor, count: Any) -> torch.Tensor:
        """Return features (N, count, M) of a wave that begins where a frame does."""
        frames = frames_of(wave, count, self.win, self.hop)
        frames = frames - frames.mean(2, keepdim=True)
        # the window has no weight for the first sample
        before = nn.functional.pad(frames[..., :-1], (1, 0))
        power = self.power(frames - PREEMPHASIS * before)
        return power.clamp(min=FLOOR).log()
