# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model.onnx with small graphs before and behind it.

The file is taken as it is, in fp32 or int8; nothing is exported again.
"""

from pathlib import Path

import onnx
from onnx import compose, parser

from espnet_prune.utils import atomic_write

_OWN = "model/"  # begins the names inside of a model that is joined


def graph(text: str, like: onnx.ModelProto) -> onnx.ModelProto:
    """Return a small graph that is written in ONNX's own syntax.

    Args:
        text: As in "name (float[1, S] audio) => (float[1, S] speech) { ... }".
        like: A model that has the versions it gets.
    """
    model = onnx.ModelProto(ir_version=like.ir_version)
    model.graph.CopyFrom(parser.parse_graph(text))
    model.opset_import.extend(like.opset_import)
    return model


def joined(
    model: onnx.ModelProto, before: str = "", after: str = ""
) -> onnx.ModelProto:
    """Return a model with a graph before it, behind it or both.

    What has the same name is connected. Outputs of the model that `after` does not take
    are left out, with what computes them alone. Names of other tensors must differ in
    `before` and `after`.

    Args:
        model: The model.
        before: Makes all inputs of the model; see `graph` for its syntax.
        after: Its inputs are outputs of the model.
    """
    whole = compose.add_prefix(model, _OWN)
    if before:
        first = graph(before, model)
        names = [value.name for value in model.graph.input]
        pairs = [(name, _OWN + name) for name in names]
        whole = compose.merge_models(first, whole, pairs)
    if after:
        last = graph(after, model)
        names = [value.name for value in last.graph.input]
        outputs = [value.name for value in last.graph.output]
        pairs = [(_OWN + name, name) for name in names]
        whole = compose.merge_models(whole, last, pairs, outputs=outputs)
    return whole


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, once it is a valid one."""
    model.producer_name = "espnet_prune"
    onnx.checker.check_model(model)
    with atomic_write(path, "wb") as stream:
        stream.write(model.SerializeToString())
