# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From models in memory to `model.onnx`."""

from pathlib import Path
from typing import Any, Optional

import torch
from torch import nn

from espnet_prune.deploy.onnx.embed import shortest
from espnet_prune.deploy.onnx.encoder import Model
from espnet_prune.deploy.onnx.tracing import trace
from espnet_prune.families import unit_graph
from espnet_prune.utils import PathLike


def export_encoder(
    encoder: nn.Module,
    path: PathLike,
    ctc: Any = None,
    hidden: bool = False,
    input_size: Optional[int] = None,
) -> Model:
    """Write an encoder as ONNX, from features (or raw speech, if it reads that).

    Args:
        encoder: Of any family, dense or cut, e.g. with random weights.
        path: The file.
        ctc: CTC module with its Linear `ctc_lo`; without it `encoder_out` is written.
        hidden: Write `encoder_out` beside CTC, too.
        input_size: Width of the features; by default what the encoder was made for.

    Returns:
        What was written, as a module that takes the same inputs.
    """
    model = Model(encoder, ctc, hidden=hidden)
    if input_size is None and not model.speech:
        input_size = unit_graph(encoder).places["encoder"].input_size
    return write(model, path, input_size)


def write(model: Model, path: PathLike, input_size: Optional[int] = None) -> Model:
    """Write a model as ONNX.

    Args:
        model: What to write.
        path: The file.
        input_size: Width of its features, unless it takes speech.
    """
    name, count = "speech" if model.speech else "feats", 2 * min_input(model) + 3
    x = torch.randn(2, count, *(() if model.speech else (input_size or 1,)))
    axes = {name: {0: "N", 1: "S" if model.speech else "T"}, "lengths": {0: "N"}}
    for output in model.outputs():
        axes[output] = {0: "N"} if output == "out_lengths" else {0: "N", 1: "frames"}
    with torch.no_grad():
        inputs = (x, torch.tensor([count, count - 2]))
        trace(model, inputs, Path(path), (name, "lengths"), model.outputs(), axes)
    return model


def min_input(model: Model) -> int:
    """Return the samples or frames of the shortest input that gives a frame."""
    frames = shortest(model.encoder.embed.chain)
    return frames if model.front is None else model.front.shortest(frames)
