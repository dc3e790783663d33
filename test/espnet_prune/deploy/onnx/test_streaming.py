# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Contextual blocks as ONNX: whole utterances and steps say what ESPnet says."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from espnet_prune.bin.deploy import main as deploy
from espnet_prune.deploy.onnx.encoder import Model
from espnet_prune.deploy.onnx.export import write
from espnet_prune.deploy.onnx.package import checked
from espnet_prune.deploy.onnx.streaming import check_stream, why_not, write_step
from espnet_prune.deploy.proof.reference import Reference
from espnet_prune.deploy.proof.signals import Signals
from espnet_prune.deploy.proof.streaming import prove_step
from espnet_prune.models import build_model
from espnet_prune.runtime.blocks import log_probs
from espnet_prune.utils import UserError
from test.espnet_prune.deep import CONFIG, make_model, write_model
from test.espnet_prune.deploy.onnx.context_models import (
    ENCODERS,
    config,
    make,
    streamed,
    whole,
)
from test.espnet_prune.deploy.onnx.test_export import check, session
from test.espnet_prune.encoder_zoo import MEL

pytestmark = pytest.mark.runtime("onnxruntime")

CLOSE = 2e-6  # of the largest log-probability
EXHAUSTIVE = bool(os.environ.get("ESPNET_PRUNE_LONG"))


def gap(wanted, got):
    assert wanted.shape == got.shape
    return np.abs(wanted - got).max() / np.abs(wanted).max()


def borders(layout, count=3):
    """Return lengths of utterances around the borders of blocks, and some others."""
    block, hop = layout["block"], layout["hop"]
    ends = [block + hop * i for i in range(count)]
    frames = [1, block - 1, *ends, *(end + 1 for end in ends)]
    sizes = [layout["shortest"] + layout["frame"] * (n - 1) for n in frames]
    random = np.random.RandomState(0).randint
    more = random(layout["shortest"], 2 * sizes[-1], 60 if EXHAUSTIVE else 3)
    return [*sizes, *(size + layout["frame"] - 1 for size in sizes), *more.tolist()]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_step_is_what_espnet_says(name, tmp_path):
    encoder, ctc = make(name)
    path = tmp_path / "step.onnx"
    layout = write_step(Model(encoder, ctc), path, MEL)
    runtime, random = session(path), np.random.RandomState(1)
    for number, size in enumerate(borders(layout)):
        x = torch.from_numpy(random.randn(size, MEL).astype("f"))
        wanted = whole(encoder, ctc, x)
        chunk = (1, 7, 64, 333, 10**6)[number % 5]
        assert gap(wanted, log_probs(runtime, layout, x.numpy(), chunk)) < CLOSE
        if number % 4 == 0:
            piece = (33, 64, 10**6)[number % 3]
            assert gap(wanted, streamed(encoder, ctc, x, piece)) < CLOSE


@pytest.mark.parametrize("name", ENCODERS)
def test_whole_utterances_in_any_batch(name, tmp_path):
    encoder, ctc = make(name)
    model = write(Model(encoder, ctc), tmp_path / "model.onnx", MEL)
    layout = write_step(model, tmp_path / "step.onnx", MEL)
    sizes = borders(layout)
    cases = [*([n] for n in sizes), sizes[:4], sizes[-4:], sizes[::3]]
    assert check(encoder, ctc, tmp_path / "model.onnx", cases, False) < CLOSE


def test_the_front_end_is_that_of_espnets_streaming(tmp_path):
    from espnet2.bin.asr_inference_streaming import Speech2TextStreaming

    torch.manual_seed(0)
    model = build_model(config(tmp_path)).eval()
    layout = write_step(checked(model), tmp_path / "step.onnx")
    wave = (0.1 * np.random.RandomState(0).randn(40123)).astype("f")
    front = SimpleNamespace(
        asr_model=model, win_length=256, hop_length=160, dtype="float32", device="cpu"
    )
    states, features, found = None, None, []
    with torch.no_grad():
        for begin in range(0, len(wave), 5000):
            piece = torch.from_numpy(wave[begin : begin + 5000])
            final = begin + 5000 >= len(wave)
            given = front, piece, features, final
            x, size, features = Speech2TextStreaming.apply_frontend(*given)
            out, _, states = model.encoder(x, size, states, final, infer_mode=True)
            found.append(out)
        wanted = model.ctc.log_softmax(torch.cat(found, 1))[0].numpy()
    for size in (333, 16000):
        got = log_probs(session(tmp_path / "step.onnx"), layout, wave, size)
        assert gap(wanted, got) < 1e-5


def test_the_proof_finds_a_context_that_is_lost(tmp_path):
    import onnx

    conf, path = config(tmp_path), tmp_path / "step.onnx"
    model = make_model(conf)
    layout = write_step(checked(model), path)
    package = {"sample_rate": 16000, "min_samples": 960}
    given = layout, Reference(model), Signals(conf, package), 1e-4
    found = prove_step(path, *given)
    assert found["passed"] and found["frames"] > 400
    file = onnx.load(str(path))
    for node in file.graph.node:
        node.input[:] = [n if n != "context" else "lost" for n in node.input]
    lost = onnx.helper.make_node("Sub", ["context", "context"], ["lost"])
    file.graph.node.insert(0, lost)
    onnx.save(file, str(path))
    found = prove_step(path, *given)
    failed = {name for name, case in found["cases"].items() if not case["passed"]}
    assert {"a frame more than a block", "many blocks"} <= failed
    assert found["cases"]["one block"]["passed"]


def test_what_cannot_hear_a_stream(tmp_path, caplog):
    conf = config(tmp_path)
    mean = checked(
        build_model({**conf, "normalize": "utterance_mvn", "normalize_conf": {}})
    )
    with pytest.raises(
        UserError, match="--stream true: normalize: utterance_mvn needs"
    ):
        check_stream(mean, "true")
    check_stream(mean, "auto")
    assert "for whole utterances only: normalize: utterance_mvn" in caplog.text
    caplog.clear()
    other = checked(build_model(CONFIG))
    with pytest.raises(UserError, match="contextual_block_transformer hear speech as"):
        check_stream(other, "true")
    check_stream(other, "auto")
    assert "whole utterances" not in caplog.text
    assert why_not(checked(build_model(conf))) is None
    for key, value in (("input_layer", "linear"), ("look_ahead", 30)):
        changed = {**conf, "encoder_conf": {**conf["encoder_conf"], key: value}}
        with pytest.raises(UserError, match="encoder_conf: .*contextual blocks are"):
            checked(build_model(changed))


def test_stream_is_asked_for_or_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("espnet_prune.deploy.proof.signals.LENGTHS", (1,))
    write_model(tmp_path / "exp", config(tmp_path))
    words = ["--model", str(tmp_path / "exp"), "--output_dir", str(tmp_path / "out")]
    deploy([*words, "--stream", "false"])
    assert not (tmp_path / "out/step.onnx").exists()
    write_model(tmp_path / "exp", CONFIG)
    with pytest.raises(UserError, match="--stream true: the encoder hears whole"):
        deploy([*words, "--stream", "true"])
