# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Frames, and the power of their spectrum in mel bands as products of matrices.

Only the power is needed, so each frame may be taken from its middle: there cosines read
the sum of the samples before and after it, and sines their difference, which is half
the work. Around a quarter of the period the same holds once more, for even and for odd
bins on their own: a quarter. The basis is made in the graph out of one period of a
cosine and a sine; a runtime does that once, when it loads the file.
"""

from typing import Any, Tuple

import torch
from torch import nn


def frames_of(wave: torch.Tensor, count: Any, win: int, hop: int) -> torch.Tensor:
    """Cut a wave (N, S) into frames (N, T, win): pieces of a hop, side by side.

    Args:
        wave: It may end before the last frame does.
        count: Number of the frames.
        win: Samples of a frame.
        hop: Samples from one frame to the next.
    """
    pieces = -(-win // hop)
    wave = nn.functional.pad(wave, (0, pieces * hop))
    wave = wave[:, : (count + pieces - 1) * hop]
    wave = wave.reshape(wave.size(0), -1, hop)
    parts = []
    for i in range(pieces):
        width = min(hop, win - i * hop)
        parts.append(wave[:, i : i + count, :width])
    return torch.cat(parts, dim=2)


class MelPower(nn.Module):
    """What the Fourier transform of frames has in mel bands.

    Args:
        window: Weights of the samples of a frame (win,), in float64.
        n_fft: Length of the transform; `win` at most.
        mel: Weights of the bins in each band (n_fft // 2 + 1, M).
    """

    def __init__(self, window: torch.Tensor, n_fft: int, mel: torch.Tensor) -> None:
        super().__init__()
        self.win, self.n_fft, self.half = len(window), n_fft, len(window) // 2
        # the first sample has no partner on the other side
        self.folds = int(self.win % 2 == 0 and float(window[0]) == 0.0)
        if self.folds and n_fft % 4 == 0 and self.half > n_fft // 4:
            self.folds = 2
        # how many samples a product reads: a number, so that the basis is a constant
        self.taps = (self.win, self.half, n_fft // 4 + 1)[self.folds]
        if self.folds:
            window = window.clone()
            window[self.half] /= 2  # the middle has no partner, so it is added twice
        # bins without a weight, the first and the last ones, are not computed
        heard = mel.ne(0).any(1).nonzero()[:, 0]
        self.first, self.last = int(heard.min()), int(heard.max()) + 1
        turns = torch.arange(n_fft, dtype=torch.float64) * (2 * torch.pi / n_fft)
        self.register_buffer("numbers", torch.arange(n_fft))
        self.register_buffer("cosine", turns.cos().float())
        self.register_buffer("sine", turns.sin().float())
        self.register_buffer("window", window.float())
        self.register_buffer("mel", mel.float()[self.first : self.last])

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the powers (N, T, M) of frames (N, T, win)."""
        frames = frames * self.window
        if not self.folds:
            return self._power(frames, frames, 0, 1)
        after = frames[..., self.half :]
        before = frames[..., 1 : self.half + 1].flip(2)
        total, difference = after + before, after - before
        if self.folds == 1:
            return self._power(total, difference, 0, 1)
        (low, high), (rising, falling) = self._halves(total), self._halves(difference)
        even = self._power(low + high, rising - falling, self.first % 2, 2)
        odd = self._power(low - high, rising + falling, 1 - self.first % 2, 2)
        return even + odd

    def _halves(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return the first quarter of the period, and what mirrors it (N, T, K)."""
        quarter = self.n_fft // 4
        mirrored = x[..., quarter + 1 :].flip(2)
        before = 2 * quarter + 1 - self.half
        return x[..., : quarter + 1], nn.functional.pad(mirrored, (before, 1))

    def _power(
        self, even: torch.Tensor, odd: torch.Tensor, begin: int, step: int
    ) -> torch.Tensor:
        """Return what some bins add to the bands (N, T, M).

        Args:
            even: What cosines read (N, T, K).
            odd: What sines read (N, T, K).
            begin: First of the bins, counted from the first that is heard.
            step: Distance of the bins.
        """
        bins = self.numbers[self.first + begin : self.last : step]
        # a remainder is not worked out when the file is written, which is small then
        bins = torch.remainder(bins, self.n_fft)
        taps = self.numbers[: self.taps]
        turns = torch.remainder(taps[:, None] * bins, self.n_fft)
        real, imaginary = even @ self.cosine[turns], odd @ self.sine[turns]
        return (real.square() + imaginary.square()) @ self.mel[begin::step]
