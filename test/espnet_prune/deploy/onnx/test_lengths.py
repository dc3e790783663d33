# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every length works: no shape in a file is that of the example it was traced with.

The suite tries some; ESPNET_PRUNE_LONG=1 tries 200 lengths and 20 padded batches of
several models, from the shortest to 60 s, exports an encoder of real size, and writes
test/results/onnx_lengths.json.
"""

import os
import random
import time
from pathlib import Path

import pytest
import torch

from espnet_prune.deploy.onnx.export import export_encoder, min_input
from espnet_prune.deploy.onnx.package import checked, export_model
from espnet_prune.models import build_model
from espnet_prune.report.decoding import releases
from espnet_prune.utils import write_json
from test.espnet_prune.deep import HYBRID
from test.espnet_prune.deploy.onnx.test_deploy import differs
from test.espnet_prune.deploy.onnx.test_export import Ctc, check
from test.espnet_prune.encoder_zoo import SPEECH, build, randomise

pytestmark = pytest.mark.runtime("onnxruntime")

LONG = os.environ.get("ESPNET_PRUNE_LONG") == "1"
LENGTHS, BATCHES = (200, 20) if LONG else (15, 3)
RESULT = Path(__file__).resolve().parents[3] / "results" / "onnx_lengths.json"
RAW = "front end and conformer"
VARIANTS = (RAW, "latest", "legacy", "transformer", "e_branchformer", "branchformer")
VARIANTS = (*VARIANTS, "multiconv", "base", "wavlm") if LONG else (RAW, "wavlm")


def cases(shortest, second, seed=0):
    """Return lengths of batches: one each, then padded; shortest, 60 s and between."""
    draw = random.Random(seed)
    single = [shortest, shortest + 1, 60 * second if LONG else 20 * second]
    while len(single) < LENGTHS:
        # half of them below three seconds, where every residue of a stride is met
        last = max(shortest + 1, draw.choice((3, 3, 10, 20)) * second)
        single = list(dict.fromkeys([*single, draw.randint(shortest, last)]))
    padded = [
        [draw.randint(shortest, 10 * second) for _ in range(draw.randint(2, 4))]
        for _ in range(BATCHES)
    ]
    return [[n] for n in single] + padded


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_length_and_every_batch(variant, tmp_path, found):
    path = tmp_path / "model.onnx"
    if variant == RAW:
        torch.manual_seed(0)
        model = build_model(HYBRID).eval()
        export_model(model, HYBRID, tmp_path)
        tried = cases(min_input(checked(model)), 16000)
        worst = max(differs(tmp_path, model, lengths) for lengths in tried)
    else:
        encoder, speech = build(variant), variant in SPEECH
        ctc = Ctc(encoder.output_size())
        shortest = min_input(export_encoder(encoder, path, ctc))
        tried = cases(shortest, 16000 if speech else 100)
        worst = check(encoder, ctc, path, tried, speech)
    found[variant] = {
        "lengths": len({tuple(n) for n in tried if len(n) == 1}),
        "padded_batches": len([n for n in tried if len(n) > 1]),
        "largest_difference": float(worst),
    }
    assert worst < (1e-4 if variant == RAW else 1e-5)


@pytest.mark.skipif(not LONG, reason="takes a minute, runs with ESPNET_PRUNE_LONG=1")
def test_an_encoder_of_real_size(tmp_path, found):
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

    conf = dict(output_size=256, attention_heads=4, linear_units=1024, num_blocks=12)
    more = dict(macaron_style=True, rel_pos_type="latest", input_layer="conv2d")
    encoder = randomise(ConformerEncoder(80, **conf, **more))
    ctc = Ctc(256, vocabulary=5000)
    began = time.perf_counter()
    export_encoder(encoder, tmp_path / "model.onnx", ctc)
    seconds = time.perf_counter() - began
    parts = (*encoder.parameters(), *ctc.parameters())
    size = (tmp_path / "model.onnx").stat().st_size
    more = size - 4 * sum(p.numel() for p in parts)
    found["12 blocks of 256"] = {"seconds": seconds, "bytes_beside_weights": more}
    assert seconds < 30 and more < 110_000  # the front end has 91,000


@pytest.fixture(scope="module")
def found():
    """What was found; written at the end of the long form."""
    record = {}
    yield record
    if LONG and set(VARIANTS) <= set(record):
        write_json({**record, **releases()}, RESULT)
