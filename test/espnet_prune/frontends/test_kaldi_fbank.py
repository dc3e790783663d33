# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kaldi's filter banks: what torchaudio and the runtimes make of speech."""

import numpy as np
import pytest
import torch

from espnet_prune.compat import TooShortUttError
from espnet_prune.frontends.kaldi_fbank import KaldiFbank
from espnet_prune.models import build_model
from espnet_prune.utils import UserError
from test.espnet_prune.deep import CONFIG
from test.espnet_prune.fbank_sample import waves

# the energy of a quiet band is what is left of large numbers in float32
NEAR = 2e-3


def made(wave, **conf):
    """Return the features (T, n_mels) of an utterance (S,)."""
    features, lengths = KaldiFbank(**conf)(wave[None], torch.tensor([len(wave)]))
    assert lengths.tolist() == [features.size(1)]
    return features[0]


@pytest.mark.parametrize(
    "conf, kaldi",
    [
        ({}, {"num_mel_bins": 80}),
        (
            {"n_mels": 23, "fmin": 50, "fmax": 7600},
            {"num_mel_bins": 23, "low_freq": 50, "high_freq": 7600},
        ),
        (
            {"fs": "8k", "n_mels": 40, "win_length": 200, "hop_length": 80},
            {"num_mel_bins": 40, "sample_frequency": 8000},
        ),
    ],
)
@pytest.mark.parametrize("gain, offset", [(1, 0), (1, 0.1), (0.001, 0)])
def test_torchaudio_makes_the_same(conf, kaldi, gain, offset):
    from torchaudio.compliance.kaldi import fbank

    for wave in waves()[:3]:
        wave = gain * torch.from_numpy(wave) + offset
        wanted = fbank(32768 * wave[None], dither=0.0, **kaldi)
        torch.testing.assert_close(made(wave, **conf), wanted, rtol=0, atol=NEAR)


def test_kaldi_native_fbank_makes_the_same():
    """The package by which the runtimes of k2 make features."""
    package = pytest.importorskip("kaldi_native_fbank")
    options = package.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0, 80
    options.mel_opts.high_freq = 0  # half of the rate
    for wave in waves()[:3]:
        bank = package.OnlineFbank(options)
        bank.accept_waveform(16000, (32768 * wave).tolist())
        bank.input_finished()
        rows = [bank.get_frame(i) for i in range(bank.num_frames_ready)]
        found = made(torch.from_numpy(wave)).numpy()
        np.testing.assert_allclose(found, np.stack(rows), rtol=0, atol=NEAR)


def test_silence_is_the_floor():
    features = made(torch.zeros(16000))
    assert features.shape == (98, 80)
    assert torch.all(features == torch.tensor(2.0**-23).log())


def test_each_row_of_a_batch_is_what_the_utterance_gives_alone():
    rows = [torch.from_numpy(wave) for wave in waves()[:3]] + [torch.randn(390)]
    batch = torch.nn.utils.rnn.pad_sequence(rows, True, 7.0)
    features, lengths = KaldiFbank()(batch, torch.tensor([len(row) for row in rows]))
    for row, found, length in zip(rows, features, lengths):
        torch.testing.assert_close(found[:length], made(row), rtol=0, atol=1e-4)
        assert not found[length:].any()


def test_speech_shorter_than_a_frame_is_refused_by_the_encoder():
    features, lengths = KaldiFbank()(torch.randn(1, 100), torch.tensor([100]))
    assert features.shape == (1, 1, 80) and lengths.tolist() == [1]
    model = build_model({**CONFIG, "frontend": "kaldi_fbank", "frontend_conf": {}})
    with pytest.raises(TooShortUttError):
        model.encode(torch.randn(1, 100), torch.tensor([100]))


def test_of_several_channels_the_first_is_heard():
    both = torch.randn(1, 4000, 2)
    features, _ = KaldiFbank()(both, torch.tensor([4000]))
    assert torch.equal(features[0], made(both[0, :, 0]))


@pytest.mark.parametrize("conf", [{"fmin": 4000, "fs": 8000}, {"fmax": 9000}])
def test_bands_must_be_within_the_spectrum(conf):
    with pytest.raises(UserError, match="frontend_conf: fmin .* are no bands"):
        KaldiFbank(**conf)


def test_a_checkpoint_holds_nothing_of_it():
    """So that any model may be given this front end, or another one instead."""
    assert not KaldiFbank().state_dict()
