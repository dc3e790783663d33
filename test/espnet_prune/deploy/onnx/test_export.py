# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Encoders as ONNX files: each row of a padded batch is what the utterance gives."""

import numpy as np
import pytest
import torch

from espnet_prune import Structure, cut
from espnet_prune.deploy.onnx.embed import GroupNorm
from espnet_prune.deploy.onnx.export import export_encoder, min_input
from espnet_prune.deploy.onnx.tracing import trace
from espnet_prune.utils import UserError
from test.espnet_prune.encoder_zoo import MEL, SPEECH, build

pytestmark = pytest.mark.runtime("onnxruntime")

VOCAB = 11
# what has a rewriting of its own; all variants are in `proof/test_random.py`
USUAL = (
    *("latest", "legacy", "qk_norm", "conv1d", "pos_conv", "transformer_conv1d2"),
    *("e_branchformer", "e_branchformer_fast", "branchformer_learned", "multiconv"),
    *("base", "wavlm_large"),
)


class Ctc(torch.nn.Module):
    def __init__(self, width, vocabulary=VOCAB):
        super().__init__()
        self.ctc_lo = torch.nn.Linear(width, vocabulary)

    def softmax(self, x):
        return self.ctc_lo(x).softmax(-1)


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def rows(lengths, speech, seed=0):
    """Return utterances, and a batch of them with rubbish for padding."""
    generator = torch.Generator().manual_seed(seed)
    width = () if speech else (MEL,)
    xs = [torch.randn(n, *width, generator=generator) for n in lengths]
    batch = torch.full((len(xs), max(lengths), *width), float("nan"))
    for row, x in zip(batch, xs):
        row[: len(x)] = x
    return xs, batch


def check(encoder, ctc, path, cases, speech):
    """Compare a file with its encoder; returns the largest relative difference."""
    runtime, worst = session(path), 0.0
    name = "speech" if speech else "feats"
    for lengths in cases:
        xs, batch = rows(lengths, speech)
        feed = {name: batch.numpy(), "lengths": np.array(lengths)}
        found = dict(
            zip((out.name for out in runtime.get_outputs()), runtime.run(None, feed))
        )
        for i, x in enumerate(xs):
            more = {"ctc": ctc} if getattr(encoder, "conditioning_layer", 0) else {}
            with torch.no_grad():
                out, count, _ = encoder(x[None], torch.tensor([len(x)]), **more)
                out, taps = out if isinstance(out, tuple) else (out, [])
                wanted = {"log_probs": out, **{f"log_probs_{n}": t for n, t in taps}}
                assert found["out_lengths"][i] == count[0]
                for key, hidden in wanted.items():
                    right = ctc.ctc_lo(hidden).log_softmax(-1)[0].numpy()
                    difference = np.abs(found[key][i, : count[0]] - right).max()
                    worst = max(worst, difference / np.abs(right).max())
    return worst


def cases_of(model):
    unit = 160 if model.speech else 1
    shortest = min_input(model)
    return [
        [shortest],
        [shortest + 1],
        [57 * unit + 3, 93 * unit, 30 * unit, max(shortest, unit)],
        [200 * unit + 1],
    ]


@pytest.mark.parametrize("variant", USUAL)
def test_every_row_is_what_the_utterance_gives_alone(variant, tmp_path):
    encoder = build(variant)
    encoder = cut(encoder, Structure.random(encoder, seed=3, keep=0.7)).eval()
    torch.manual_seed(0)
    ctc = Ctc(encoder.output_size())
    model = export_encoder(encoder, tmp_path / "model.onnx", ctc)
    speech = variant in SPEECH
    worst = check(encoder, ctc, tmp_path / "model.onnx", cases_of(model), speech)
    assert worst < 1e-5


@pytest.mark.parametrize("variant", ["latest", "e_branchformer", "transformer"])
def test_blocks_read_what_ctc_says_between_them(variant, tmp_path):
    taps = dict(interctc_layer_idx=[1], interctc_use_conditioning=True)
    encoder, ctc = build(variant, **taps), Ctc(16)
    encoder.conditioning_layer = torch.nn.Linear(VOCAB, 16)
    model = export_encoder(encoder, tmp_path / "model.onnx", ctc)
    assert model.outputs() == ["log_probs", "out_lengths", "log_probs_1"]
    worst = check(encoder, ctc, tmp_path / "model.onnx", cases_of(model), False)
    assert worst < 1e-5


def test_a_file_holds_the_weights_and_little_else(tmp_path):
    """No table of positions, no index of frames, no constant twice."""
    encoder = build("latest")
    export_encoder(encoder, tmp_path / "model.onnx")
    weights = 4 * sum(p.numel() for p in encoder.parameters())
    size = (tmp_path / "model.onnx").stat().st_size
    assert size < weights + 34_000  # nodes of two blocks


def test_norms_of_silence_are_silent():
    """Where channels are constant, a norm has but rounding to make larger."""
    torch.manual_seed(0)
    constant = torch.randn(1, 64, 1).repeat(1, 1, 6399)
    for length in (6399, 500):
        norm = GroupNorm(torch.nn.GroupNorm(64, 64))
        assert norm(constant, torch.tensor([length])).abs().max() < 1e-6


def test_what_torch_cannot_write_ends_with_a_sentence(tmp_path, capsys):
    class Strange(torch.nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(UserError, match="model.onnx: torch cannot write the model"):
        trace(Strange(), (torch.ones(2),), tmp_path / "model.onnx", ["x"], ["y"], {})
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().out
