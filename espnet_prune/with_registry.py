# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run any Python module or script with our encoders known to ESPnet.

    python -m espnet_prune.with_registry -m espnet2.bin.asr_inference ...

It stands in for `python3` in ESPnet's recipes:

    ./asr.sh --python "python3 -m espnet_prune.with_registry" ...

Training goes to `espnet_prune.bin.asr_train`, because the processes that multi-GPU
training spawns import their task by name and would not find our encoders otherwise.
"""

import os
import runpy
import sys
from typing import List, Optional

from espnet_prune.registry import install_hook

_REPLACED = {"espnet2.bin.asr_train": "espnet_prune.bin.asr_train"}
_USAGE = "usage: python -m espnet_prune.with_registry [-m MODULE | -c CODE | FILE] ..."


def main(argv: Optional[List[str]] = None) -> None:
    """Install the import hook, then behave like `python3 argv...`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    while argv and argv[0] in ("-u", "-W", "-B"):
        argv = argv[2 if argv[0] == "-W" else 1 :]
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE + "\n\n" + str(__doc__).strip())
        sys.exit(0 if argv else 2)
    install_hook()
    if argv[0] == "-m" and len(argv) > 1:
        name = _REPLACED.get(argv[1], argv[1])
        sys.argv = argv[1:]
        # as `python -m` does, and runpy alone does not
        sys.path[0] = os.getcwd()
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    elif argv[0] == "-c" and len(argv) > 1:
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = argv
        sys.path[0] = os.path.dirname(os.path.abspath(argv[0]))
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
