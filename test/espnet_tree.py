# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A checkout of ESPnet that tests may write into: a copy of that of ESPNET_ROOT.

That may be the source archive of a release, unpacked: what are links to folders in a
checkout is not in it.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

LINKED = ("scripts", "pyscripts", "steps", "utils")
# for machines without it: sox reads what AN4 has, and hands it over as this does
SPH2PIPE = '#!/bin/sh\nfor last; do :; done\nexec sox "${last}" -t wav -\n'


def lacking() -> str:
    """Say what is missing for ESPnet's own scripts to run; nothing: an empty string."""
    if not os.environ.get("ESPNET_ROOT"):
        return "ESPNET_ROOT names no checkout of ESPnet"
    for program in ("flac", "sox", "perl"):
        if shutil.which(program) is None:
            return f"ESPnet's scripts need {program}, which is not installed"
    metadata = Path(os.environ["ESPNET_ROOT"], "pyproject.toml")
    wanted = metadata.is_file() and "omniio" in metadata.read_text(encoding="utf-8")
    if wanted and importlib.util.find_spec("omniio") is None:
        return (
            "this ESPnet's scripts read audio by omniio: use an environment of 202611"
        )
    return ""


def is_whole() -> bool:
    """Whether ESPNET_ROOT has its links, which the archive of a release lacks."""
    return Path(os.environ["ESPNET_ROOT"], "egs2/an4/asr1/utils").exists()


def copy_tree(target: Path) -> Path:
    """Copy ESPNET_ROOT to `target`, whole, and commit it there; returns `target`."""
    ignore = shutil.ignore_patterns(".git", "venv", "kaldi", "exp", "dump")
    source = Path(os.environ["ESPNET_ROOT"])
    shutil.copytree(source, target, symlinks=True, ignore=ignore)
    for script in target.glob("egs2/*/asr1/asr.sh"):
        for name in LINKED if script.parents[1].name != "TEMPLATE" else ():
            link = script.parent / name
            if not link.exists():
                link.symlink_to(f"../../TEMPLATE/asr1/{name}")
    if shutil.which("sph2pipe") is None:
        program = target / "tools" / "sph2pipe" / "sph2pipe"
        program.parent.mkdir(exist_ok=True)
        program.write_text(SPH2PIPE)
        program.chmod(0o755)
    git(target, "init", "-q", ".")
    git(target, "add", "-A", ".")
    git(target, "commit", "-qm", "as it is")
    return target


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as nobody; returns what it says."""
    command = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    return subprocess.check_output([*command, *words], cwd=folder, text=True)
