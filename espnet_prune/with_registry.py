# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run any Python module or script with our encoders known to ESPnet.

    python -m espnet_prune.with_registry -m espnet2.bin.asr_inference ...

It stands in for `python3` in ESPnet's recipes:

    ./asr.sh --python "python3 -m espnet_prune.with_registry" ...

So that ESPnet's commands, such as `espnet transcribe`, know them by themselves, a file
in the site-packages of this environment can say so to every Python that starts there:

    python -m espnet_prune.with_registry --install     (and --uninstall)

It costs nothing before ESPnet is imported, and does nothing where this package is not.

Training goes to `espnet_prune.bin.asr_train`, because the processes that multi-GPU
training spawns import their task by name and would not find our encoders otherwise.
"""

import os
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import List, Optional

from espnet_prune.registry import install_hook

_REPLACED = {"espnet2.bin.asr_train": "espnet_prune.bin.asr_train"}
_USAGE = (
    "usage: python -m espnet_prune.with_registry [-m MODULE | -c CODE | FILE] ...\n"
    "       python -m espnet_prune.with_registry --install | --uninstall"
)
# what every Python runs then; `site` wants it on one line
_HOOK = """
import sys

class EspnetPrune:
    def find_spec(self, name, path=None, target=None):
        if name == "espnet2":
            try:
                from espnet_prune.registry import install_hook
            except ImportError:
                return None
            install_hook()

sys.meta_path.insert(0, EspnetPrune())
"""


def hook_file() -> Path:
    """Return where the file is that an environment runs when Python starts."""
    return Path(sysconfig.get_path("purelib")) / "espnet_prune_hook.pth"


def _install(there: bool) -> None:
    """Write that file, or remove it, and say what that means."""
    path = hook_file()
    try:
        if there:
            about = "# written by python -m espnet_prune.with_registry --install"
            path.write_text(f"{about}\nimport sys; exec({_HOOK!r}, {{}})\n")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}; use an environment of your own (venv)")
    if not there:
        print(f"{path} is not there any more; ESPnet is as it was")
        return
    print(
        f"{path} is written: ESPnet's commands of {sys.prefix} know pruned models from "
        "now on; --uninstall takes it back"
    )
    # somewhere else, where this directory is not looked into
    code = "from importlib.util import find_spec as f; exit(not f('espnet_prune'))"
    found = subprocess.run([sys.executable, "-c", code], cwd=path.parent, check=False)
    if found.returncode:
        print(
            "But espnet_prune is not installed there: install it (pip install), or set "
            "PYTHONPATH; without it the file does nothing"
        )


def main(argv: Optional[List[str]] = None) -> None:
    """Install the import hook, then behave like `python3 argv...`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    while argv and argv[0] in ("-u", "-W", "-B"):
        argv = argv[2 if argv[0] == "-W" else 1 :]
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE + "\n\n" + str(__doc__).strip())
        sys.exit(0 if argv else 2)
    if argv[0] in ("--install", "--uninstall"):
        _install(argv[0] == "--install")
        return
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
