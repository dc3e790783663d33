# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A traced graph without what only makes the file longer."""

from typing import Any, Dict, List, Optional

import onnx
from onnx import numpy_helper

_NAMED = ("MatMul", "Gemm", "Conv", "Relu")
_NEUTRAL = {"Mul": 1.0, "Div": 1.0, "Add": 0.0, "Sub": 0.0}


def tidy(graph: onnx.GraphProto) -> None:
    """Shorten a graph in place; it computes what it did.

    Constants become initializers, equal ones the same. Products with 1 and sums with 0
    go. Tensors between nodes get short names, and so do nodes, but for those by which
    int8 knows the parts of a model.

    Args:
        graph: Without control flow; another one is left as it is.
    """
    if any(
        a.type == onnx.AttributeProto.GRAPH for n in graph.node for a in n.attribute
    ):
        return
    outputs = {value.name for value in graph.output}
    taken = {tensor.name: tensor for tensor in graph.initializer}
    fixed = outputs | set(taken) | {value.name for value in graph.input}
    same: Dict[Any, str] = {}
    names: Dict[str, str] = {}
    nodes: List[onnx.NodeProto] = []
    for node in graph.node:
        inputs = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        result = node.output[0]
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            key = (tensor.data_type, tuple(tensor.dims), _bytes(tensor))
            if key not in same:
                same[key] = f"c{len(same)}"
                tensor.name = same[key]
                taken[same[key]] = tensor
            names[result] = same[key]
            continue
        passed = _passed(node, taken)
        if passed is not None and result not in outputs:
            names[result] = passed
            continue
        for i, name in enumerate(node.output):
            if name and name not in fixed:
                names[name] = node.output[i] = f"t{len(names)}"
        if node.op_type not in _NAMED:
            node.name = f"n{len(nodes)}"
        nodes.append(node)
    used = {name for node in nodes for name in node.input} | outputs
    tensors = [tensor for name, tensor in taken.items() if name in used]
    for field, items in ((graph.node, nodes), (graph.initializer, tensors)):
        del field[:]
        field.extend(items)
    del graph.value_info[:]


def _bytes(tensor: onnx.TensorProto) -> bytes:
    return numpy_helper.to_array(tensor).tobytes()


def _passed(node: onnx.NodeProto, taken: Dict[str, onnx.TensorProto]) -> Optional[str]:
    """Return the input that a node hands on unchanged, if it does."""
    if node.op_type == "Identity":
        return node.input[0]
    if node.op_type not in _NEUTRAL:
        return None
    places = (1, 0) if node.op_type in ("Mul", "Add") else (1,)
    for place in places:
        tensor = taken.get(node.input[place])
        if tensor is None or len(tensor.dims):
            continue
        if float(numpy_helper.to_array(tensor)) == _NEUTRAL[node.op_type]:
            return node.input[1 - place]
    return None
