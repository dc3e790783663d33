# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model that reads tones, made by hand: every letter is a pitch.

A frame is 40 ms; a token is the pitch that has most of its energy, blank is silence.
"""

import json
from pathlib import Path
from typing import Any, Dict

import numpy as np

RATE, FRAME = 16000, 640
TOKENS = ["<blank>", "<space>", *"ABCDEFGH", "<sos/eos>"]
PITCHES = [400.0 + 350.0 * i for i in range(9)]  # of <space> and the letters


def tones(text: str, rate: int = RATE, frames: int = 2) -> np.ndarray:
    """Return the waveform of a text: tones of some frames, a frame of silence after."""
    length, rest = frames * FRAME * rate // RATE, FRAME * rate // RATE
    parts = [np.zeros(rest)]
    for letter in text:
        pitch = PITCHES[" ABCDEFGH".index(letter)]
        tone = 0.5 * np.sin(2 * np.pi * pitch / rate * np.arange(length))
        parts += [tone, np.zeros(rest)]
    return np.concatenate(parts).astype(np.float32)


def config() -> Dict[str, Any]:
    """Return the content of config.json."""
    return {
        "format": 1,
        "sample_rate": RATE,
        "input": "speech",
        "feature_size": None,
        "frame_ms": 1000 * FRAME / RATE,
        "min_samples": FRAME,
        "blank": 0,
        "sos": len(TOKENS) - 1,
        "eos": len(TOKENS) - 1,
        "token_type": "char",
        "space": "<space>",
        "bpe_model": None,
        "language": None,
        "ctc": True,
        "decoder": None,
        "interctc": [],
        "files": {"model": {"fp32": "model.onnx"}},
        "decoding": {"beam_size": 4},
        "precision": "fp32",
        "sizes": {},
        "depths": {},
    }


def save_model(path: Path) -> None:
    """Write model.onnx."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    time = np.arange(FRAME) / RATE
    waves = [f(2 * np.pi * p * time) for f in (np.cos, np.sin) for p in PITCHES]
    count = len(PITCHES)
    constants = {
        "channel": np.array([1], np.int64),
        "waves": np.array(waves, np.float32)[:, None],
        "parts": np.array([count, count], np.int64),
        # blank has a little energy always, what no pitch has is never said
        "bias": np.array([1.0] + [0.0] * count + [-9.0], np.float32),
        "pads": np.array([0, 0, 1, 0, 0, 1], np.int64),
        "size": np.array(FRAME, np.int64),
    }
    nodes = [
        ("Unsqueeze", ["speech", "channel"], ["wave"], {}),
        ("Conv", ["wave", "waves"], ["heard"], {"strides": [FRAME]}),
        ("Mul", ["heard", "heard"], ["squares"], {}),
        ("Split", ["squares", "parts"], ["real", "imaginary"], {"axis": 1}),
        ("Add", ["real", "imaginary"], ["energy"], {}),
        ("Transpose", ["energy"], ["frames"], {"perm": [0, 2, 1]}),
        ("Pad", ["frames", "pads"], ["padded"], {}),
        ("Add", ["padded", "bias"], ["scores"], {}),
        ("LogSoftmax", ["scores"], ["log_probs"], {"axis": -1}),
        ("Div", ["lengths", "size"], ["out_lengths"], {}),
    ]
    info, real, whole = (
        helper.make_tensor_value_info,
        TensorProto.FLOAT,
        TensorProto.INT64,
    )
    graph = helper.make_graph(
        [helper.make_node(op, i, o, **more) for op, i, o, more in nodes],
        "tones",
        [info("speech", real, ["N", "S"]), info("lengths", whole, ["N"])],
        [
            info("log_probs", real, ["N", "T", len(TOKENS)]),
            info("out_lengths", whole, ["N"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, str(path))


def write_model(folder: Path, **changes: Any) -> Path:
    """Write the deployed model into a folder; returns it.

    Args:
        folder: Is made.
        changes: Of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / "model.onnx")
    text = "".join(f"{token} {i}\n" for i, token in enumerate(TOKENS))
    (folder / "tokens.txt").write_text(text)
    (folder / "config.json").write_text(json.dumps({**config(), **changes}))
    return folder
