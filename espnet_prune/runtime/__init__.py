# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Recognition by a deployed model, with numpy and onnxruntime alone.

This folder is copied beside the models that are deployed: it imports nothing of this
project, and of itself relatively.
"""

import importlib
from typing import Any

_PLACES = {
    "Recognizer": "recognizer",
    "Result": "result",
    "Stream": "stream",
    "UserError": "errors",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
