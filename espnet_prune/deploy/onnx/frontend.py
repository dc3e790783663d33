# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Front ends inside the graph, here ESPnet's log-mel, and the norms after them."""

from typing import Any, Optional, Tuple

import torch
from torch import nn

from espnet_prune.deploy.onnx.fbank import Fbank
from espnet_prune.deploy.onnx.front_ssl import SelfSupervised
from espnet_prune.deploy.onnx.spectrum import MelPower, frames_of
from espnet_prune.utils import UserError


class LogMel(nn.Module):
    """ESPnet's DefaultFrontend for one channel.

    Args:
        frontend: The stock module.

    Raises:
        UserError: It enhances speech, or transforms in a way that is not supported.
    """

    def __init__(self, frontend: nn.Module) -> None:
        super().__init__()
        stft = frontend.stft
        if stft is None or not stft.onesided:
            raise UserError(
                "frontend_conf: apply_stft: false and onesided: false cannot be "
                "exported; the graph transforms one channel of speech"
            )
        enhances = frontend.frontend
        if enhances is not None and (enhances.use_wpe or enhances.use_beamformer):
            raise UserError(
                "frontend_conf: a front end that enhances several channels (use_wpe, "
                "use_beamformer) cannot be exported; switch it off, or give features"
            )
        self.n_fft, self.hop, self.win = stft.n_fft, stft.hop_length, stft.win_length
        self.centred = stft.center
        # samples that one frame needs, of its own
        self.span = self.n_fft - (2 * (self.n_fft // 2) if stft.center else 0)
        left = (self.n_fft - self.win) // 2  # torch centres the window
        self.first = left - (self.n_fft // 2 if stft.center else 0)
        window = torch.ones(self.win, dtype=torch.float64)
        if stft.window is not None:
            make = getattr(torch, f"{stft.window}_window")
            window = make(self.win, dtype=torch.float64)
        if stft.normalized:
            window = window * self.n_fft**-0.5
        self.power = MelPower(window, self.n_fft, frontend.logmel.melmat)

    def shortest(self, frames: int) -> int:
        """Return how many samples give so many frames."""
        enough = self.span + (frames - 1) * self.hop
        # it is reflected at both ends
        return max(self.n_fft // 2 + 1, enough) if self.centred else enough

    def counted(self, samples: Any) -> Any:
        """Return the frames of so many samples; a number or (N,)."""
        return (samples - self.span) // self.hop + 1

    def forward(
        self, wave: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, T, M) and their lengths (N,) of a wave (N, S)."""
        count = self.counted(wave.size(1))
        return self.bare(self._padded(wave, lengths), count), self.counted(lengths)

    def bare(self, wave: torch.Tensor, count: Any) -> torch.Tensor:
        """Return features (N, count, M) of a wave that begins where a frame does.

        Nothing is mirrored.
        """
        frames = frames_of(wave, count, self.win, self.hop)
        return self.power(frames).clamp(min=1e-10).log()

    def _padded(self, wave: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the wave from the first sample on that a frame reads.

        It is mirrored at its begin and at each row's own end.
        """
        if self.first >= 0:
            return wave[:, self.first :]
        pad = -self.first
        wave = nn.functional.pad(wave[:, None], (pad, 0), mode="reflect")[:, 0]
        wave = nn.functional.pad(wave, (0, pad))
        beyond, ends = torch.arange(pad), lengths[:, None] + pad
        mirrored = wave.gather(1, (ends - 2 - beyond).clamp(min=0))
        return wave.scatter(1, ends + beyond, mirrored)


class GlobalNorm(nn.Module):
    """ESPnet's GlobalMVN as one product and one sum.

    Args:
        norm: The stock module.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        mean, std = norm.mean.double(), norm.std.double()
        scale = 1 / std if norm.norm_vars else torch.ones_like(std)
        shift = -mean * scale if norm.norm_means else torch.zeros_like(mean)
        self.register_buffer("scale", scale.float())
        self.register_buffer("shift", shift.float())

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the normalised features (N, T, C)."""
        return x * self.scale + self.shift


class UtteranceNorm(nn.Module):
    """ESPnet's UtteranceMVN over the real frames of each row.

    Args:
        norm: The stock module.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.means, self.variances, self.eps = norm.norm_means, norm.norm_vars, norm.eps

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the normalised features (N, T, C)."""
        real = (torch.arange(x.size(1)) < lengths[:, None])[..., None].float()
        count = lengths.clamp(min=1)[:, None, None].float()
        centred = x - (x * real).sum(1, keepdim=True) / count
        # what long sums have lost is half of what there is in silence
        centred = centred - (centred * real).sum(1, keepdim=True) / count
        result = centred if self.means else x
        if self.variances:
            variance = (centred.square() * real).sum(1, keepdim=True) / count
            result = result / variance.sqrt().clamp(min=self.eps)
        return result


def exported_front(frontend: Optional[nn.Module]) -> Optional[nn.Module]:
    """Return a front end for export.

    Raises:
        UserError: See `LogMel`.
    """
    kinds = {
        "DefaultFrontend": LogMel,
        "KaldiFbank": Fbank,
        "PrunedSSLFrontend": SelfSupervised,
    }
    return None if frontend is None else kinds[type(frontend).__name__](frontend)


def exported_norm(norm: Optional[nn.Module]) -> Optional[nn.Module]:
    """Return the normalisation of features for export."""
    kinds = {"GlobalMVN": GlobalNorm, "UtteranceMVN": UtteranceNorm}
    return None if norm is None else kinds[type(norm).__name__](norm)
