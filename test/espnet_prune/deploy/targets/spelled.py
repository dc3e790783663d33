# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model whose audio says which tokens it hears: any text, in any tokens.

The level at the begin of each frame is the number of a token.
"""

import json
import os
from pathlib import Path
from typing import Any, List, Sequence

import numpy as np
import onnx
from onnx import parser

from espnet_prune.deploy.targets.target import Slot
from test.espnet_prune.runtime.tone_model import config

FRAME, STEP = 32, 1 / 4096  # samples; level from one token to the next
_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
levels (float[N, S] speech, int64[N] lengths)
    => (float[N, T, {size}] log_probs, int64[N] out_lengths)
    <int64[1] zero = {{0}}, int64[1] end = {{9223372036854775807}},
     int64[1] second = {{1}}, int64[1] frame = {{{frame}}}, int64[1] last = {{2}},
     float[{size}] levels = {{{levels}}}, float sharp = {{-8192}}>
{{
    begins = Slice(speech, zero, end, second, frame)
    columns = Unsqueeze(begins, last)
    apart = Sub(columns, levels)
    far = Abs(apart)
    scores = Mul(far, sharp)
    log_probs = LogSoftmax<axis = -1>(scores)
    out_lengths = Div(lengths, frame)
}}
"""


def write_model(folder: Path, tokens: Sequence[str], **changes: Any) -> Path:
    """Write the deployed model into a folder; returns it.

    Args:
        folder: Is made.
        tokens: The first is the blank.
        changes: Of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    levels = ", ".join(str(STEP * i) for i in range(len(tokens)))
    text = _MODEL.format(size=len(tokens), frame=FRAME, levels=levels)
    onnx.save(parser.parse_model(text), str(folder / "model.onnx"))
    lines = "".join(f"{token} {i}\n" for i, token in enumerate(tokens))
    (folder / "tokens.txt").write_text(lines, encoding="utf-8")
    found = {**config(), "min_samples": FRAME, "frame_ms": FRAME / 16, **changes}
    (folder / "config.json").write_text(json.dumps(found))
    return folder


def spoken(ids: List[int]) -> np.ndarray:
    """Return samples in which the best path is `ids`, a number for each frame."""
    return np.repeat(np.array(ids, np.float32) * np.float32(STEP), FRAME)


class Ends(Slot):
    """A runtime that ends the process over what it cannot read."""

    name = "ends"

    def unfit(self, package, facts):
        return None

    def write(self, package, model, folder):
        pass

    def open(self, folder):
        os._exit(255)
