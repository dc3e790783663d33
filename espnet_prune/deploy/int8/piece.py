# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One part of an ONNX file as a file of its own, to be timed without the rest."""

import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

from espnet_prune.deploy.int8.clock import in_turns
from espnet_prune.deploy.int8.parts import CONVS, Part
from espnet_prune.deploy.int8.quantize import Inputs, write_int8
from espnet_prune.progress import progress
from espnet_prune.runtime.session import open_session

SECONDS = 1.5  # that a part is timed


def _scope(name: str) -> str:
    return name.rpartition("/")[0]


def cut_out(model: Any, part: Part) -> Tuple[Any, List[str]]:
    """Return the products of a part, with their sums, as a model; and its inputs.

    Args:
        model: An onnx.ModelProto.
        part: One of its parts.
    """
    from onnx import helper

    scopes, graph = {_scope(name) for name in part.nodes}, model.graph
    if part.name == CONVS:  # and what stands between them
        whole = {_scope(scope) for scope in scopes}
        nodes = [n for n in graph.node if _scope(_scope(n.name)) in whole]
        nodes = [n for n in nodes if n.op_type in ("Conv", "Relu")]
    else:
        names, weights = set(part.nodes), {w.name for w in graph.initializer}
        nodes = [n for n in graph.node if n.name in names]
        made = {n.output[0] for n in nodes}
        nodes += [
            n
            for n in graph.node
            if n.op_type == "Add" and made & {*n.input} and weights & {*n.input}
        ]
    used = {name for n in nodes for name in n.input}
    weights = [w for w in graph.initializer if w.name in used]
    own = {w.name for w in weights} | {name for n in nodes for name in n.output}
    inputs = sorted(used - own - {""})
    ends = [n.output[0] for n in nodes if n.output[0] not in used]
    piece = helper.make_graph(nodes, part.name, _floats(inputs), _floats(ends), weights)
    versions = [helper.make_opsetid(o.domain, o.version) for o in model.opset_import]
    made_of = helper.make_model(
        piece, opset_imports=versions, ir_version=model.ir_version
    )
    return made_of, inputs


def _floats(names: List[str]) -> List[Any]:
    from onnx import TensorProto, helper

    return [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]


def values_of(model: Any, names: List[str], inputs: Inputs) -> Inputs:
    """Return what tensors inside of a model are for some inputs."""
    import onnx

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    whole.graph.output.extend(_floats(names))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inside.onnx"
        onnx.save(whole, str(path))
        return dict(zip(names, open_session(path).run(names, inputs)))


def times_of(
    model: Any, parts: Dict[str, Part], inputs: Inputs, reduce_range: bool
) -> Dict[str, Dict[str, float]]:
    """Return {part: {"fp32": ms, "int8": ms}}, on one thread.

    Args:
        model: An onnx.ModelProto.
        parts: Its parts by name.
        inputs: What it takes.
        reduce_range: See `cpu`.
    """
    import onnx

    pieces = {name: cut_out(model, part) for name, part in parts.items()}
    names = sorted({n for _, wanted in pieces.values() for n in wanted})
    inside = {n: inputs[n] for n in names if n in inputs}
    names = [name for name in names if name not in inside]
    inside.update(values_of(model, names, inputs) if names else {})
    found, bar = {}, progress(len(pieces), "timed", "parts")
    for name, (piece, wanted) in pieces.items():
        part, given = parts[name], {n: inside[n] for n in wanted}
        with tempfile.TemporaryDirectory() as folder:
            files = {key: Path(folder) / f"{key}.onnx" for key in ("fp32", "int8")}
            onnx.save(piece, str(files["fp32"]))
            write_int8(piece, files["int8"], [part], [given], reduce_range)
            found[name] = in_turns(files, given, SECONDS)
        bar.update()
    bar.close()
    return found
