# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Modules as ONNX files, by torch's tracer.

Of its two exporters the tracer is taken: what the newer one writes fails at many
lengths.
"""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

import onnx
import torch
from torch import nn

from espnet_prune.deploy.onnx.tidy import tidy
from espnet_prune.foreign import told
from espnet_prune.utils import atomic_write

OPSET = 17


def trace(
    module: nn.Module,
    inputs: Tuple[Any, ...],
    path: Path,
    input_names: Sequence[str],
    output_names: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
) -> None:
    """Write a module as an ONNX file.

    Args:
        module: In evaluation mode; must not depend on the sizes of the inputs.
        inputs: Examples.
        path: The file.
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        axes: Names of the dimensions that may have any size, by input or output.

    Raises:
        UserError: torch knows no ONNX for a part of it.
    """
    stream, what = io.BytesIO(), f"{path.name}: torch cannot write the model as ONNX"
    with warnings.catch_warnings(), told(what, "tell us which model it is"):
        warnings.simplefilter("ignore")  # of the exporter that is taken, and of shapes
        with contextlib.redirect_stdout(io.StringIO()):  # graphs of what fails
            torch.onnx.export(
                module.eval(),
                inputs,
                stream,
                input_names=list(input_names),
                output_names=list(output_names),
                dynamic_axes={name: dict(own) for name, own in axes.items()},
                opset_version=OPSET,
                dynamo=False,
            )
    model = onnx.load_from_string(stream.getvalue())
    tidy(model.graph)
    with atomic_write(path, "wb") as file:
        file.write(model.SerializeToString())
