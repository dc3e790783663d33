# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tiny contextual-block encoders, and what ESPnet says of features that come in pieces.

They have no family yet, so they are not in the zoo of encoders.
"""

import numpy as np
import torch

from espnet_prune.compat import CONTEXTUAL_ENCODERS
from test.espnet_prune.deep import CONFIG
from test.espnet_prune.deploy.onnx.test_export import Ctc
from test.espnet_prune.encoder_zoo import MEL

_CONFORMER, _TRANSFORMER = CONTEXTUAL_ENCODERS
_SMALL = {
    "output_size": 8,
    "attention_heads": 2,
    "linear_units": 12,
    "num_blocks": 3,
}
SMALL = {**_SMALL, "cnn_module_kernel": 5, "macaron_style": True}
ENCODERS = {
    "conformer": (_CONFORMER, {**SMALL, "selfattention_layer_type": "selfattn"}),
    "other blocks": (
        _CONFORMER,
        {
            **{**SMALL, "macaron_style": False, "normalize_before": False},
            **{"block_size": 20, "hop_size": 6, "look_ahead": 5},
            "ctx_pos_enc": False,
        },
    ),
    "conv1d": (
        _CONFORMER,
        {
            **{**SMALL, "use_cnn_module": False, "input_layer": "conv2d8"},
            **{"block_size": 12, "hop_size": 4, "look_ahead": 8},
            "positionwise_layer_type": "conv1d",
        },
    ),
    "transformer": (
        _TRANSFORMER,
        {**_SMALL, "input_layer": "conv2d6", "concat_after": True},
    ),
}


def make(name, seed=0):
    """Return an encoder whose blocks matter, and CTC."""
    kind, conf = ENCODERS[name]
    torch.manual_seed(seed)
    encoder, ctc = kind(MEL, **conf).eval(), Ctc(8)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
    return encoder, ctc


@torch.no_grad()
def whole(encoder, ctc, x):
    """Return log-probabilities (T', V) of features (T, C), by the pass of training."""
    out = encoder(x[None], torch.tensor([len(x)]))[0]
    return ctc.ctc_lo(out).log_softmax(-1)[0].numpy()


@torch.no_grad()
def streamed(encoder, ctc, x, size):
    """Return the same by the pass over pieces of some frames."""
    states, found, pieces = None, [], x.split(size)
    for number, piece in enumerate(pieces, 1):
        given = piece[None], torch.tensor([len(piece)]), states
        out, _, states = encoder(*given, number == len(pieces), infer_mode=True)
        found.append(out)
    return ctc.ctc_lo(torch.cat(found, 1)).log_softmax(-1)[0].numpy()


def config(folder, **changes):
    """Return the configuration of a model with global statistics."""
    mels = CONFIG["frontend_conf"]["n_mels"]
    stats = folder / "stats.npz"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        stats,
        count=np.array(100),
        sum=np.linspace(-900.0, -400.0, mels),
        sum_square=np.full(mels, 9000.0),
    )
    return {
        **CONFIG,
        "normalize": "global_mvn",
        "normalize_conf": {"stats_file": str(stats)},
        "encoder": "contextual_block_conformer",
        "encoder_conf": {**SMALL, "selfattention_layer_type": "selfattn"},
        **changes,
    }
