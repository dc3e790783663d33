# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model without its front end, for runtimes that make features themselves.

What stands behind the front end is taken from the file as it is, in fp32 or int8.
"""

import onnx
from onnx import TensorProto, helper


def after_frontend(model: onnx.ModelProto, width: int) -> onnx.ModelProto:
    """Return what a model does with the logarithm of its mel bands.

    Args:
        model: From `speech` (N, S) and `lengths` (N,); it is left as it is.
        width: Of the features.

    Returns:
        From `feats` (N, T, width) and `lengths` (N,), which are those of the speech, in
        samples, to `log_probs` and `out_lengths`.
    """
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    # softmax is a node of its own, so this is the only logarithm
    features = next(node.output[0] for node in graph.node if node.op_type == "Log")
    outputs = [o for o in graph.output if o.name in ("log_probs", "out_lengths")]
    needed, todo = {features}, [output.name for output in outputs]
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo.extend(makers[name].input if name in makers else ())
    nodes = []
    for node in graph.node:
        if features not in node.output and needed.intersection(node.output):
            node = onnx.NodeProto.FromString(node.SerializeToString())
            inputs = ["feats" if name == features else name for name in node.input]
            node.ClearField("input")
            node.input.extend(inputs)
            nodes.append(node)
    sizes = ["N", "T", width]
    feats = helper.make_tensor_value_info("feats", TensorProto.FLOAT, sizes)
    lengths = [value for value in graph.input if value.name == "lengths"]
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    return helper.make_model(
        helper.make_graph(nodes, "encoder", [feats, *lengths], outputs, tensors),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
