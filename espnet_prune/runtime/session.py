# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ONNX files opened by onnxruntime, and what it says of those that it cannot open."""

import re
from pathlib import Path
from typing import Any

from .errors import UserError

_AGAIN = "copy it again, or deploy the model again"


def open_session(path: Path, threads: int = 1) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU.

    Numbers too small to be normal are taken as 0: they say nothing and take a hundred
    times as long.

    Args:
        path: The ONNX file.
        threads: Of one run.

    Raises:
        UserError: It is missing or broken, or needs what this onnxruntime lacks.
    """
    import onnxruntime

    if not path.is_file():
        raise UserError(f"{path} is missing; {_AGAIN}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised as well
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has a class per code, all of Exception
        raise UserError(f"{path}: {_why(str(error))}") from error


def _why(text: str) -> str:
    """Return what is wrong with a file, and the remedy, from onnxruntime's words."""
    import onnxruntime

    here = f"onnxruntime {onnxruntime.__version__}"
    newer = "install a newer one: pip install --upgrade onnxruntime"
    found = re.search(r"implementation for (\S+)", text)
    found = found or re.search(r"([\w.]+:?\w*\(-?\d+\)) is not a registered", text)
    found = found or re.search(r"No Op registered for (\w+)", text)
    if found:
        return f"{here} lacks the operator {found[1]}; {newer}"
    found = re.search(r"Opset (\d+) is under development", text)
    found = found or re.search(r"for domain .* version (\d+)", text)
    if found:
        return f"{here} does not know opset {found[1]} of ONNX; {newer}"
    found = re.search(r"Unsupported model IR version: (\d+)", text)
    if found:
        return f"{here} does not know version {found[1]} of ONNX files; {newer}"
    if "bad_alloc" in text or "Failed to allocate" in text:
        return "there is not enough memory for it"
    told = " ".join(text.split()).rpartition("failed:")[2].strip()
    return f"is not a whole ONNX file for {here} ({told}); {_AGAIN}"
