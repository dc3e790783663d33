# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Weights of 8 and 4 bits: which, in what range, how close, and in silence."""

import logging

import numpy as np
import onnx
import pytest
import torch

from espnet_prune.deploy.int8 import cpu as processor
from espnet_prune.deploy.int8.parts import CONVS, parts_of
from espnet_prune.deploy.int8.piece import cut_out, times_of, values_of
from espnet_prune.deploy.int8.quantize import load, quantise, write_int8, write_small
from espnet_prune.deploy.onnx.encoder import Model
from espnet_prune.deploy.onnx.export import write
from espnet_prune.runtime.session import open_session
from test.espnet_prune.encoder_zoo import MEL, build

pytestmark = pytest.mark.runtime("onnxruntime")

VOCAB = 30


class Head(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ctc_lo = torch.nn.Linear(width, VOCAB)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Return a Conformer from raw speech as an ONNX file."""
    from espnet2.asr.frontend.default import DefaultFrontend

    torch.manual_seed(0)
    encoder = build("latest")
    front = DefaultFrontend(n_fft=256, hop_length=128, n_mels=MEL)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    width = encoder.output_size()
    write(Model(encoder, Head(width), front).eval(), path)
    return path


def feed(samples=8000, seed=0):
    rng = np.random.default_rng(seed)
    speech = 0.1 * rng.standard_normal((1, samples), np.float32)
    return {"speech": speech, "lengths": np.array([samples])}


def weights(path):
    """Return the bytes of the weights of a file."""
    tensors = onnx.load(str(path)).graph.initializer
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in tensors)


def test_parts(file):
    parts = parts_of(load(file))
    assert list(parts)[:2] == [CONVS, "subsampling"]
    assert {"attention", "feed-forward", "convolution modules", "CTC head"} <= {*parts}
    assert "others" not in parts
    depthwise = [n for p in parts.values() for n in p.nodes if "conv/conv/Conv" in n]
    assert not depthwise


def weight_bytes(path):
    return sum(len(w.raw_data) for w in load(path).graph.initializer)


def test_close_smaller_and_silent(file, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO)
    path = tmp_path / "model.int8.onnx"
    quantise(file, path, [feed(seed=i) for i in range(3)])
    logging.info("heard again")
    assert [record.message for record in caplog.records] == ["heard again"]
    assert capfd.readouterr().out == ""
    # of so small a model the graph is a third
    assert weight_bytes(path) < 0.6 * weight_bytes(file)
    plain, lengths = open_session(file).run(["log_probs", "out_lengths"], feed())
    found, counted = open_session(path).run(["log_probs", "out_lengths"], feed())
    assert counted == lengths
    assert 0 < np.abs(found - plain).max() < 0.1 * np.abs(plain).max()


@pytest.mark.parametrize("reduce_range, most", [(True, 64), (False, 127)])
def test_range_of_weights(file, tmp_path, reduce_range, most):
    model, path = load(file), tmp_path / "model.onnx"
    parts = parts_of(model)
    write_int8(model, path, parts.values(), [feed()], reduce_range)
    found = [
        onnx.numpy_helper.to_array(weight)
        for weight in onnx.load(str(path)).graph.initializer
        if weight.data_type == onnx.TensorProto.INT8 and weight.dims
    ]
    found = [weight for weight in found if weight.ndim > 1]
    assert len(found) == sum(len(part.nodes) for part in parts.values())
    assert max(np.abs(w.astype(int)).max() for w in found) == most


@pytest.mark.parametrize(
    "machine, flags, reduce_range",
    [
        ("x86_64", "sse2 avx2", True),
        ("x86_64", "avx2 avx512f", True),
        ("x86_64", "avx2 avx512f avx512_vnni", False),
        ("AMD64", "avx2 avx_vnni", False),
        ("aarch64", "asimddp", False),
    ],
)
def test_processor(monkeypatch, machine, flags, reduce_range):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    text = f"model name : A processor\nflags : fpu {flags}\n"
    monkeypatch.setattr(processor.Path, "is_file", lambda path: True)
    monkeypatch.setattr(processor.Path, "read_text", lambda path, **more: text)
    found = processor.cpu()
    assert found["reduce_range"] == reduce_range
    assert found["name"] == "A processor"
    assert found["flags"] == [flag for flag in flags.split() if flag != "sse2"]


def test_piece_is_what_the_model_has(file, tmp_path):
    model = load(file)
    for part in parts_of(model).values():
        piece, names = cut_out(model, part)
        ends = [output.name for output in piece.graph.output]
        inside = values_of(model, [*names, *ends], feed())
        path = tmp_path / "piece.onnx"
        onnx.save(piece, str(path))
        found = open_session(path).run(ends, {name: inside[name] for name in names})
        for name, value in zip(ends, found):
            np.testing.assert_allclose(value, inside[name], atol=1e-4)


def test_times_of_parts(file, monkeypatch):
    monkeypatch.setattr("espnet_prune.deploy.int8.piece.SECONDS", 0.0)
    model = load(file)
    parts = parts_of(model)
    found = times_of(model, parts, feed(), reduce_range=True)
    assert list(found) == list(parts)
    assert all(ms > 0 for row in found.values() for ms in row.values())


@pytest.mark.parametrize("bits", [8, 4])
def test_few_bits(file, tmp_path, bits):
    model, path = load(file), tmp_path / "model.onnx"
    write_small(model, path, parts_of(model).values(), bits)
    assert weights(path) < 0.8 * weights(file)
    plain = open_session(file).run(["log_probs"], feed())[0]
    found = open_session(path).run(["log_probs"], feed())[0]
    bound = {8: 0.05, 4: 0.5}[bits] * np.abs(plain).max()
    assert 0 < np.abs(found - plain).max() < bound
