# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ONNX files with weights of 8 or 4 bits, by onnxruntime's own tools."""

import contextlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Optional

import numpy as np

from espnet_prune.deploy.int8.cpu import cpu
from espnet_prune.deploy.int8.parts import Part, parts_of
from espnet_prune.utils import PathLike, UserError

Inputs = Dict[str, np.ndarray]
BLOCK = 32  # weights of few bits that share a scale


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep back what onnxruntime's tools log: tens of thousands of lines."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def load(path: PathLike) -> Any:
    """Return an ONNX file whose Gemms are MatMuls and sums, which int8 knows."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    with silent():
        model = ONNXModel(onnx.load(str(path)))
        model.replace_gemm_with_matmul()
        model.topological_sort()
    return model.model


def quantise(source: PathLike, path: PathLike, calibration: Iterable[Inputs]) -> None:
    """Write all that can be int8 of an ONNX file in int8, whatever it is worth.

    Args:
        source: The file.
        path: The new one.
        calibration: Some inputs of the model.
    """
    model = load(source)
    write_int8(
        model,
        path,
        parts_of(model).values(),
        calibration,
        reduce_range=cpu()["reduce_range"],
    )


def write_int8(
    model: Any,
    path: PathLike,
    parts: Iterable[Part],
    calibration: Iterable[Inputs],
    reduce_range: bool,
) -> None:
    """Write a model with some of its weights in int8.

    Weights have a scale for each column or channel. Inputs of products get theirs while
    running; those of convolutions are fixed by calibration.

    Args:
        model: See `load`; it is left as it is.
        path: The file.
        parts: What is to be in int8.
        calibration: Inputs of the model; needed for convolutions.
        reduce_range: Weights of 7 bits; see `cpu`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    parts = list(parts)
    convs = [name for part in parts for name in part.convs]
    products = [name for part in parts for name in part.products]
    same = dict(per_channel=True, reduce_range=reduce_range)
    with silent(), tempfile.TemporaryDirectory() as folder:
        source = _copy(model)
        if convs:
            middle = Path(folder) / "convs.onnx"
            quantize_static(
                source,
                middle if products else path,
                _reader(calibration),
                nodes_to_quantize=convs,
                op_types_to_quantize=["Conv"],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                **same,
            )
            source = middle
        if products:
            quantize_dynamic(
                source,
                path,
                op_types_to_quantize=["MatMul"],
                nodes_to_quantize=products,
                weight_type=QuantType.QInt8,
                **same,
            )


def write_small(model: Any, path: PathLike, parts: Iterable[Part], bits: int) -> None:
    """Write a model whose weights have few bits and are unpacked while running.

    Args:
        model: See `load`; it is left as it is.
        path: The file.
        parts: Whose products have such weights.
        bits: 8 or 4.

    Raises:
        UserError: This onnxruntime cannot.
    """
    import onnx

    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import (
            MatMulNBitsQuantizer,
        )

        with silent():
            small = {name for part in parts for name in part.products}
            left = [n.name for n in model.graph.node if n.name not in small]
            tool = MatMulNBitsQuantizer(
                _copy(model),
                bits=bits,
                block_size=BLOCK,
                is_symmetric=True,
                accuracy_level=4,
                nodes_to_exclude=left,
            )
            tool.process()
            onnx.save(tool.model.model, str(path))
    except (ImportError, TypeError) as error:
        raise UserError(
            f"--weight_bits {bits}: this onnxruntime cannot write such weights "
            f"({error}); install 1.31 or later"
        ) from error


def _copy(model: Any) -> Any:
    import copy

    return copy.deepcopy(model)


def _reader(inputs: Iterable[Inputs]) -> Any:
    """Return what onnxruntime's calibration reads."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """Hands on the inputs one by one."""

        def __init__(self) -> None:
            self.rows = iter(inputs)

        def get_next(self) -> Optional[Inputs]:
            """Return the next inputs, None at the end."""
            return next(self.rows, None)

    return Reader()
