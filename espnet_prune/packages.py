# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Packages that only some of ESPnet's models need, and how they are installed."""

import importlib.util
import re
import sys
from typing import Any, Optional, Sequence

# top-level module -> what needs it, and how it is installed
_KNOWN = {
    "warprnnt_pytorch": (
        "the loss of a transducer",
        "run ESPnet's tools/installers/install_warp-transducer.sh",
    ),
    "whisper": ("a part of Whisper", "pip install openai-whisper"),
    "s3prl": ("frontend s3prl", "pip install s3prl"),
    "transformers": ("a part of Hugging Face's models", "pip install transformers"),
    "fairseq": (
        "an encoder or frontend of fairseq",
        "run ESPnet's tools/installers/install_fairseq.sh",
    ),
    "torch_pruning": (
        "method torch_pruning",
        "pip install torch-pruning==1.6.1 --no-deps",
    ),
    "loralib": ("LoRA adapters", "pip install loralib"),
    "longformer": (
        "a Longformer encoder",
        "run ESPnet's tools/installers/install_longformer.sh",
    ),
    "k2": (
        "a loss or decoding by graphs",
        "run ESPnet's tools/installers/install_k2.sh",
    ),
}


def found_by_others(
    finder: Any, name: str, path: Optional[Sequence[str]], target: Any
) -> Any:
    """Return the spec of a module that an import hook watches for, or None.

    Args:
        finder: The hook itself, which is not asked.
        name: The module.
        path: As `find_spec` gets it.
        target: As `find_spec` gets it.
    """
    for other in sys.meta_path:
        if other is not finder and hasattr(other, "find_spec"):
            spec = other.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                return spec
    return None


def missing_package(error: ImportError) -> Optional[str]:
    """Say which package is missing and how it is installed.

    Returns:
        One sentence, or None if the error is not that of a missing package: a part of
        a package that is there, or of ESPnet or this one.
    """
    name = (error.name or "").partition(".")[0]
    if not name:  # ESPnet's own words, such as "Please install `transformers`"
        text = " ".join(str(error).split())
        named = next((n for n in _KNOWN if re.search(rf"\b{n}\b", text, re.I)), "")
        return _sentence(named) if named and "install" in text else None
    if name in ("espnet", "espnet2", "espnet_prune") or not _gone(name):
        return None
    return _sentence(name)


def _gone(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except ValueError:
        return True


def _sentence(name: str) -> str:
    needs, how = _KNOWN.get(
        name, ("what the configuration names", f"pip install {name}")
    )
    return f"{needs} needs the package {name}, which is not installed: {how}"
