#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make torchaudio importable beside a CPU build of torch.

The torchaudio wheels on PyPI are built for CUDA: beside a CPU torch their compiled
parts miss shared libraries and the import fails. ESPnet needs none of these parts
(only transforms and models, which are Python), so they are put aside, and only then.
"""

import importlib.util
import subprocess
import sys
from functools import partial
from pathlib import Path

MISSING = ("cannot open shared object file", "undefined symbol", "Library not loaded")


def import_error(module: str) -> str:
    """Import `module` in a fresh process; return its error output, or ""."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import {module}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or "no message"


def torch_has_cuda() -> bool:
    """Tell whether the installed torch is a CUDA (or ROCm) build."""
    code = "import sys, torch; sys.exit(bool(torch.version.cuda or torch.version.hip))"
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode != 0


def compiled_parts() -> list:
    """List the shared libraries of the installed torchaudio."""
    spec = importlib.util.find_spec("torchaudio")
    roots = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    return sorted(p for root in roots for p in root.rglob("*.so"))


def main() -> int:
    """Return the exit status: 0 when torchaudio can be imported."""
    say = partial(print, file=sys.stderr)
    error = import_error("torch")
    if error:
        say(f"espnet_prune: error: torch does not load: {error.splitlines()[-1]}")
        return 2
    error = import_error("torchaudio")
    if not error:
        return 0
    reason = error.splitlines()[-1]
    if torch_has_cuda() or not any(text in error for text in MISSING):
        say(
            f"espnet_prune: error: torchaudio does not load ({reason}); install the "
            "build that matches your torch, then run make again"
        )
        return 2
    say(f"[install] torchaudio does not load beside a CPU torch ({reason});")
    for path in compiled_parts():
        path.rename(path.with_suffix(".so.unused"))
        say(f"[install]   put aside {path.name}, which ESPnet does not use")
    error = import_error("torchaudio")
    if error:
        reason = error.splitlines()[-1]
        say(f"espnet_prune: error: torchaudio still does not load: {reason}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
