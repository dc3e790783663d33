# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Exported attention decoders score as those of torch, token by token."""

from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
import torch

from espnet_prune import Structure, cut
from espnet_prune.deploy.onnx.decoder import export_decoder
from espnet_prune.units.modules import Removed
from espnet_prune.utils import UserError
from test.espnet_prune.decoders.zoo import (
    DRAWN,
    LONG,
    VARIANTS,
    build,
    sequence,
    stepwise,
)

pytestmark = pytest.mark.runtime("onnxruntime")

EXPORTED = [name for name in VARIANTS if name not in ("hidden", "vectors")]


def opened(files):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return {
        name: ort.InferenceSession(str(path), options) for name, path in files.items()
    }


def run(session, feed):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed)))


def scores(files, memory, ys):
    """Return the scores (hypotheses, L, V), by the files alone."""
    sessions, keys, found = opened(files), {}, []
    if "memory" in sessions:
        keys = run(sessions["memory"], {"encoder_out": memory.numpy()})
    caches = {
        x.name: np.zeros((len(ys), x.shape[1], 0, x.shape[3]), np.float32)
        for x in sessions["decoder"].get_inputs()
        if x.name.startswith("cache_")
    }
    for n in range(ys.size(1)):
        feed = {"tokens": ys[:, n : n + 1].numpy(), **keys, **caches}
        given = run(sessions["decoder"], feed)
        found.append(given.pop("log_probs"))
        caches = {name[len("new_") :]: cache for name, cache in given.items()}
        assert all(cache.shape[2] == n + 1 for cache in caches.values())
    return np.stack(found, 1)


def check(decoder, folder):
    files = export_decoder(SimpleNamespace(decoder=decoder), folder)
    for seed, (frames, hypotheses) in enumerate(((1, 1), (13, 3), (70, 5))):
        memory, ys = sequence(seed, frames, tokens=9, hypotheses=hypotheses)
        with torch.no_grad():
            wanted = stepwise(decoder, memory, ys).numpy()
        found = scores(files, memory, ys)
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    return files


@pytest.mark.parametrize("variant", EXPORTED)
def test_same_scores(variant, tmp_path):
    check(build(variant), tmp_path)


@pytest.mark.parametrize("seed", range(DRAWN if LONG else 2))
def test_same_scores_of_a_cut_one(seed, tmp_path):
    decoder = build(EXPORTED[seed % len(EXPORTED)])
    keep = 0.2 + 0.4 * (seed % 3) / 2
    check(cut(decoder, Structure.random(decoder, seed, keep)), tmp_path)


def test_blocks_without_attentions(tmp_path):
    decoder = build()
    decoder.decoders[1].self_attn = decoder.decoders[0].src_attn = Removed()
    files = check(decoder, tmp_path)
    names = [x.name for x in opened(files)["decoder"].get_inputs()]
    assert [name for name in names if "_k_" in name] == [
        *("memory_k_1", "memory_k_2", "cache_k_0", "cache_k_2")
    ]
    for block in decoder.decoders:  # what counts the tokens then?
        block.self_attn = Removed()
    check(decoder, tmp_path)
    for block in decoder.decoders:
        block.src_attn = Removed()
    assert list(check(decoder, tmp_path)) == ["decoder"]


def test_positions_that_are_scaled(tmp_path):
    from espnet_prune.compat import ScaledPositionalEncoding

    decoder = build(pos_enc_class=ScaledPositionalEncoding)
    decoder.embed[1].alpha.data.fill_(0.7)
    stepwise(decoder, *sequence())  # with gradients, which are left behind
    check(decoder, tmp_path)


def test_others_are_refused(tmp_path):
    from espnet2.asr.decoder.transformer_decoder import (
        LightweightConvolutionTransformerDecoder,
    )

    from espnet_prune.compat import LearnableFourierPosEnc

    convolutions = LightweightConvolutionTransformerDecoder(
        11, 16, 4, 24, 2, conv_wshare=4, conv_kernel_length=(3, 3)
    )
    for decoder, message in (
        (convolutions, "decoder LightweightConvolutionTransformerDecoder cannot be"),
        (build("vectors"), "reads vectors, not tokens"),
        (build("hidden"), "decoder TransformerDecoder cannot be exported"),
        (build(pos_enc_class=LearnableFourierPosEnc), "positions are a Learnable"),
    ):
        with pytest.raises(UserError, match=message):
            export_decoder(SimpleNamespace(decoder=decoder), tmp_path)
    assert not list(tmp_path.iterdir())
