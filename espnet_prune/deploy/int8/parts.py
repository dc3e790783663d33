# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which parts an ONNX file has whose weights can be in int8."""

import dataclasses
import re
from typing import Any, Dict, List

CONVS = "subsampling convolutions"
# by the names that torch's modules gave to the nodes; the first that fits
_PARTS = (
    ("front end: projection", r"/front/embed/"),
    ("front end: attention", r"/front/blocks.*attn"),
    ("front end: feed-forward", r"/front/blocks.*feed_forward"),
    ("subsampling", r"/(embed|before)/"),
    ("attention", r"attn|/linear_(q|k|v|out|pos)"),
    ("feed-forward", r"feed_forward"),
    ("convolution modules", r"conv_module|cgmlp|csgu"),
    ("CTC head", r"ctc_lo"),
    ("output", r"output_layer|joint|lin_"),
)
# but in a self-supervised model: sines, cosines and the mel matrix span many powers of
# ten, which 8 bits do not
_FRONT = re.compile(r"/front/(?!embed/|blocks)")


@dataclasses.dataclass
class Part:
    """Some products of a file.

    Attributes:
        name: Of the part.
        nodes: Names of its nodes.
        params: Weights in them.
    """

    name: str
    nodes: List[str] = dataclasses.field(default_factory=list)
    params: int = 0

    @property
    def convs(self) -> List[str]:
        """Names of its convolutions."""
        return self.nodes if self.name == CONVS else []

    @property
    def products(self) -> List[str]:
        """Names of its MatMuls."""
        return [] if self.name == CONVS else self.nodes


def parts_of(model: Any) -> Dict[str, Part]:
    """Return the parts of a model by name, in the order of the graph.

    Args:
        model: An onnx.ModelProto without Gemm.
    """
    weights = {w.name: list(w.dims) for w in model.graph.initializer}
    found: Dict[str, Part] = {}
    for node in model.graph.node:
        sizes = weights.get(node.input[1]) if len(node.input) > 1 else None
        name = _name_of(node, sizes)
        if sizes is not None and name:
            part = found.setdefault(name, Part(name))
            part.nodes.append(node.name)
            part.params += _product(sizes)
    return found


def _name_of(node: Any, sizes: Any) -> str:
    """Return the name of a node's part, or "" if it stays as it is."""
    if sizes is None:
        return ""
    if node.op_type == "Conv":
        return CONVS if len(sizes) == 4 and "/embed/" in node.name else ""
    if node.op_type != "MatMul" or len(sizes) != 2 or _FRONT.search(node.name):
        return ""
    for name, pattern in _PARTS:
        if re.search(pattern, node.name):
            return name
    return "others"


def _product(sizes: List[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
