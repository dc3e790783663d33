# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ONNX files that cannot be run here are told with the reason and the remedy."""

import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

from espnet_prune.runtime import UserError
from espnet_prune.runtime.session import open_session


def one_node(path, op, opset=17, ir=8, kind=TensorProto.FLOAT, **more):
    """Write an ONNX file of one operator."""
    values = [helper.make_tensor_value_info(name, kind, ["N"]) for name in "xy"]
    node = helper.make_node(op, ["x"], ["y"], **more)
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    sets = [helper.make_opsetid("", opset)]
    if "domain" in more:
        sets.append(helper.make_opsetid(more["domain"], 1))
    model = helper.make_model(graph, opset_imports=sets, ir_version=ir)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "op, more, told",
    [
        ("Foo", {}, "lacks the operator Foo; install a newer one"),
        ("Bar", {"domain": "com.foo"}, "lacks the operator com.foo:Bar"),
        (
            "Cosh",
            {"kind": TensorProto.BFLOAT16, "opset": 22},
            "lacks the operator Cosh(22)",
        ),
        ("Relu", {"opset": 99}, "does not know opset 99 of ONNX; install a newer"),
        ("Relu", {"ir": 99}, "does not know version 99 of ONNX files; install"),
    ],
)
def test_what_the_runtime_lacks(tmp_path, op, more, told):
    path = tmp_path / "model.onnx"
    one_node(path, op, **more)
    with pytest.raises(UserError) as error:
        open_session(path)
    assert str(error.value).startswith(f"{path}: onnxruntime ")
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 40, -1])
def test_a_broken_file(tmp_path, keep):
    path = tmp_path / "model.onnx"
    one_node(path, "Relu")
    open_session(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep] if keep >= 0 else b"\xff" * 100)
    with pytest.raises(UserError, match="is not a whole ONNX file .*; copy it again"):
        open_session(path)


DENORMALS = """
import sys, numpy
from pathlib import Path
from espnet_prune.runtime.session import open_session
session = open_session(Path(sys.argv[1]))
small = numpy.float32([1e-30])
print(session.run(None, {"x": small})[0][0] == 0)
"""


def test_numbers_too_small_to_be_normal_are_0(tmp_path):
    path = tmp_path / "model.onnx"
    node = helper.make_node("Mul", ["x", "c"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N"]) for n in "xy"]
    small = helper.make_tensor("c", TensorProto.FLOAT, [1], [1e-10])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [small])
    sets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), str(path))
    command = [sys.executable, "-c", DENORMALS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
