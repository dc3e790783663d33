# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""onnxruntime-web, the package of npm, and what the page needs of it."""

import os
from pathlib import Path

from espnet_prune.utils import UserError, read_json

PLACE = "ONNXRUNTIME_WEB"  # variable of the environment
_TOOLS = Path(__file__).parents[4] / "tools/web/node_modules/onnxruntime-web"
# a script that loads no other, and the binary that runs on processors alone: by one
# thread it needs no headers of a server
SCRIPT, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


def onnxruntime_web() -> Path:
    """Return the directory of the package.

    Raises:
        UserError: It is not there, or what the page needs is not in it.
    """
    place = Path(os.environ.get(PLACE) or _TOOLS)
    for name in ("package.json", f"dist/{SCRIPT}", f"dist/{BINARY}"):
        if not (place / name).is_file():
            raise UserError(
                f"--for web: {place / name} is missing, which runs models in a page; "
                "call make -C tools, or npm install onnxruntime-web and "
                f"export {PLACE}=$PWD/node_modules/onnxruntime-web"
            )
    return place


def release() -> str:
    """Return the version of the package.

    Raises:
        UserError: It is not there.
    """
    return str(read_json(onnxruntime_web() / "package.json")["version"])
