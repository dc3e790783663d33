# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Random structures of every family as ONNX files, by the proof of what is deployed.

The suite draws `DRAWN` of them; ESPNET_PRUNE_LONG=1 proves `LONG_DRAWN` at all lengths
and writes test/results/deployed.json.
"""

import os
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from espnet_prune import Structure, cut
from espnet_prune.deploy.onnx.export import export_encoder, min_input
from espnet_prune.deploy.onnx.package import export_model
from espnet_prune.deploy.proof import parts, prove, signals
from espnet_prune.deploy.proof.reference import Reference
from espnet_prune.models import build_model
from espnet_prune.report.decoding import releases
from espnet_prune.utils import write_json
from test.espnet_prune.deep import HYBRID
from test.espnet_prune.deploy.proof.models import CONFORMER, TRANSDUCER
from test.espnet_prune.encoder_zoo import ALL, MEL, SPEECH, arguments, build, randomise

pytestmark = pytest.mark.runtime("onnxruntime")

LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
DRAWN, LONG_DRAWN = 5, 100
# of chunks only those behind a subsampling, and not a single one, are exported
EXPORTED = [n for n in ALL if n not in ("stream_never", "stream_transformer_linear")]
RESULT = Path(__file__).resolve().parents[3] / "results" / "deployed.json"
VOCABULARY = 13
INTERCTC = {"interctc_layer_idx": [1], "interctc_use_conditioning": True}
WHOLE = {
    "hybrid": HYBRID,
    "transducer": TRANSDUCER,
    "self-conditioned": {
        **CONFORMER,
        "encoder_conf": {**CONFORMER["encoder_conf"], **INTERCTC},
        "model_conf": {"ctc_weight": 1.0, "interctc_weight": 0.5},
    },
}


class Alone(nn.Module):
    """An encoder with CTC, as ESPnet's models call the two."""

    def __init__(self, encoder, width):
        super().__init__()
        from espnet2.asr.ctc import CTC

        self.encoder, self.ctc = encoder, CTC(VOCABULARY, width)

    def encode(self, x, lengths):
        hidden, lengths, _ = self.encoder(x, lengths)
        return hidden, lengths


def cases(count):
    """Return (variant, seed) of some structures: every variant before one again."""
    draw, found = random.Random(0), []
    while len(found) < count:
        names = [*EXPORTED, *WHOLE]
        draw.shuffle(names)
        found += [(name, len(found) + i) for i, name in enumerate(names)]
    return found[:count]


def shares(seed):
    return random.Random(seed).uniform(0.2, 0.8)


def prove_encoder(variant, seed, folder):
    """Return what the proof finds of a random cut of an encoder."""
    encoder = build(variant, seed)
    small = cut(encoder, Structure.random(encoder, seed, shares(seed)))
    model = Alone(small.eval(), arguments(variant)[1]["output_size"]).eval()
    path = folder / "model.onnx"
    exported = export_encoder(model.encoder, path, model.ctc, hidden=True)
    size = None if variant in SPEECH else MEL
    config = {"frontend": None, "input_size": size}
    package = {"feature_size": size, "min_samples": min_input(exported)}
    heard = signals.Signals(config, {**package, "sample_rate": 16000})
    bar = parts.bar_of(package)
    return {"model": parts.prove_encoder(path, Reference(model), heard, bar)}


def prove_model(variant, seed, folder):
    """Return what the proof finds of a random cut of a whole model."""
    torch.manual_seed(seed)
    model = randomise(build_model(WHOLE[variant]), seed)
    small = cut(model, Structure.random(model, seed, shares(seed))).eval()
    export_model(small, WHOLE[variant], folder)
    return prove(folder, small, WHOLE[variant])["fp32"]


@pytest.fixture(scope="module")
def recorded():
    """What the long form fills in by variant; written when all structures are in."""
    found, rounded = {}, []
    yield found, rounded
    if LONG and sum(map(len, found.values())) == LONG_DRAWN:
        worst = {name: max(values) for name, values in sorted(found.items())}
        record = {"structures": LONG_DRAWN, "largest_share_of_bar": worst}
        record["of_these_by_the_rounding_of_espnet"] = rounded
        write_json({**record, **releases()}, RESULT)


@pytest.mark.parametrize("variant, seed", cases(LONG_DRAWN if LONG else DRAWN))
def test_files_say_what_the_model_says(variant, seed, tmp_path, monkeypatch, recorded):
    if not LONG:
        monkeypatch.setattr(signals, "LENGTHS", (1, 2))
    form = prove_model if variant in WHOLE else prove_encoder
    found = form(variant, seed, tmp_path)
    for part, result in found.items():
        assert result["passed"] and result["frames"] > 0, (variant, seed, part, result)
    share = max(result["relative"] / result["bar"] for result in found.values())
    recorded[0].setdefault(variant, []).append(share)
    recorded[1].extend([variant, seed] for r in found.values() if "rounding" in r)
