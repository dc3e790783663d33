# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kaldi's filter banks as a front end of ESPnet.

They are `torchaudio.compliance.kaldi.fbank` of samples x 32768 with its defaults, but
without dither, for a batch of utterances. Runtimes that make features themselves make
these: a model that was trained with them hears there what it heard in training.
"""

from typing import Optional, Tuple, Union

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend

from espnet_prune.utils import UserError

SCALE = 32768.0  # Kaldi's samples are 16-bit integers
PREEMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps  # of the energy of a band


class KaldiFbank(AbsFrontend):
    """`frontend: kaldi_fbank`, one channel; of several the first is heard.

    Args:
        fs: Samples per second, a number or e.g. "16k".
        n_mels: Number of bands.
        win_length: Samples of a frame.
        hop_length: Samples from one frame to the next.
        fmin: Where the lowest band begins, in Hz.
        fmax: Where the highest band ends; None for half of `fs`.

    Raises:
        UserError: There is nothing between `fmin` and `fmax`.
    """

    def __init__(
        self,
        fs: Union[int, str] = 16000,
        n_mels: int = 80,
        win_length: int = 400,
        hop_length: int = 160,
        fmin: float = 20.0,
        fmax: Optional[float] = None,
    ) -> None:
        super().__init__()
        if isinstance(fs, str):
            import humanfriendly

            fs = humanfriendly.parse_size(fs)
        top = fs / 2 if fmax is None else fmax
        if not 0 <= fmin < top <= fs / 2:
            raise UserError(
                f"frontend_conf: fmin {fmin} and fmax {fmax} are no bands of speech at "
                f"{fs} Hz; give 0 <= fmin < fmax <= {fs / 2:g}"
            )
        self.n_mels, self.win_length, self.hop_length = n_mels, win_length, hop_length
        self.n_fft = 1 << (win_length - 1).bit_length()
        self.register_buffer("window", povey(win_length).float(), persistent=False)
        mel = mel_weights(fs, self.n_fft, n_mels, fmin, top).float()
        self.register_buffer("mel", mel, persistent=False)

    def output_size(self) -> int:
        """Return the number of features of a frame."""
        return self.n_mels

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Make features; those past an utterance are 0.

        Args:
            input: Samples in [-1, 1], (N, S) or (N, S, channels).
            input_lengths: How many there are (N,).

        Returns:
            Features (N, T, n_mels) and their lengths (N,). A frame lies in the speech
            as a whole; what is shorter than one is filled up with silence, so that
            ESPnet can say that it is too short.
        """
        wave = input[..., 0] if input.dim() == 3 else input
        wave = wave.masked_fill(_past(input_lengths, wave), 0.0)
        wave = torch.nn.functional.pad(
            wave, (0, max(0, self.win_length - wave.size(1)))
        )
        frames = (wave * SCALE).unfold(1, self.win_length, self.hop_length)
        frames = frames - frames.mean(2, keepdim=True)
        raised = frames[..., 1:] - PREEMPHASIS * frames[..., :-1]
        # the window has no weight for the first sample
        spectrum = torch.fft.rfft(
            torch.nn.functional.pad(raised, (1, 0)) * self.window, self.n_fft
        )
        power = spectrum.real.square() + spectrum.imag.square()
        features = (power @ self.mel).clamp(min=FLOOR).log()
        more = (input_lengths - self.win_length).clamp(min=0)
        lengths = torch.div(more, self.hop_length, rounding_mode="floor") + 1
        return features.masked_fill(_past(lengths, features)[..., None], 0.0), lengths


def _past(lengths: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return what of a batch (N, T, ...) is past lengths (N,); (N, T)."""
    numbers = torch.arange(rows.size(1), device=rows.device)
    return numbers >= lengths.to(rows.device)[:, None]


def povey(length: int) -> torch.Tensor:
    """Return Kaldi's window (length,) in float64, 0 at both ends."""
    window = torch.hann_window(length, periodic=False, dtype=torch.float64)
    return window.pow(0.85)


def mel_weights(
    fs: int, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> torch.Tensor:
    """Return what each bin adds to each band (n_fft // 2 + 1, n_mels), in float64.

    Bands are triangles on Kaldi's mel scale that begin and end in the middle of their
    neighbours. The bin of half the sampling rate is in none.
    """

    def mel(hertz: torch.Tensor) -> torch.Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    ends = mel(torch.tensor([fmin, fmax], dtype=torch.float64))
    step = (ends[1] - ends[0]) / (n_mels + 1)
    peaks = ends[0] + step * torch.arange(1, n_mels + 1, dtype=torch.float64)
    bins = mel(torch.arange(n_fft // 2 + 1, dtype=torch.float64) * fs / n_fft)
    weights = (1 - (bins[:, None] - peaks).abs() / step).clamp(min=0)
    weights[-1] = 0
    return weights
