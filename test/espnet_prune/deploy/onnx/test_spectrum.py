# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Powers of a spectrum as products of matrices are those of the Fourier transform."""

import pytest
import torch

from espnet_prune.deploy.onnx.spectrum import MelPower
from espnet_prune.frontends.kaldi_fbank import povey


def window_of(kind, win):
    """Return a window as torch.stft takes it, in float64."""
    if kind is None:
        return torch.ones(win, dtype=torch.float64)
    if kind == "povey":
        return povey(win)
    return getattr(torch, f"{kind}_window")(win, dtype=torch.float64)


@pytest.mark.parametrize(
    "n_fft, win, kind, folds",
    [
        (512, 400, "hann", 2),
        (512, 400, "povey", 2),  # not that of a period, so that it is not symmetric
        (512, 512, "hann", 2),
        (400, 400, "hann", 2),
        (512, 200, "hann", 1),  # too short to be folded twice
        (402, 400, "hann", 1),  # no quarter
        (512, 400, "hamming", 0),  # its first weight is not 0
        (400, 401, None, 0),
        (410, 333, "blackman", 0),
    ],
)
def test_powers_are_those_of_the_transform(n_fft, win, kind, folds):
    win = min(win, n_fft)
    generator = torch.Generator().manual_seed(n_fft + win)
    mel = torch.rand(n_fft // 2 + 1, 7, generator=generator)
    mel[: n_fft % 3], mel[n_fft // 2 - n_fft % 5 :] = 0, 0
    window = window_of(kind, win)
    power = MelPower(window, n_fft, mel)
    assert power.folds == folds
    frames = torch.randn(2, 9, win, generator=generator)
    spectrum = torch.fft.rfft(frames.double() * window, n_fft).abs().square()
    wanted = spectrum @ mel.double()
    torch.testing.assert_close(power(frames).double(), wanted, rtol=1e-5, atol=1e-5)
