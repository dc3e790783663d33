#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Print what is installed and what is missing; exit 1 if training could not run."""

import argparse
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

TOOLS = Path(__file__).resolve().parent

REQUIRED = ["torch", "torchaudio", "espnet_prune"]
# what each line of ESPnet needs besides its requirements/asr-LINE.txt
LINES = {"202511": ["ci_sdr"], "202611": ["omniio", "sentencepiece", "soundfile"]}
OPTIONAL_FILES = {
    "recipe.txt": "scoring and resampling in recipes",
    "demo.txt": "the demo's speech synthesis",
    "test.txt": "tests and style checks",
    "onnx.txt": "ONNX, int8 and the runtime of deployed models",
    "runtimes.txt": "the runtimes of others",
}
PROGRAMS = {
    "git": "version in reports",
    "gcc": "packages without a wheel for this machine",
    "sclite": "scoring as in ESPnet; without it jiwer counts the same",
    "flac": "LibriSpeech data preparation",
    "sox": "ESPnet's speed perturbation in stage 2",
    "sph2pipe": "NIST SPHERE files in ESPnet's data preparation",
    "npm": "onnxruntime-web: 'make -C tools web'",
    "chromium": "tests of the page: 'make -C tools web'",
    "chromedriver": "tests of the page: 'make -C tools web'",
}
IMPORTS = {
    "torchaudio": "import torchaudio",
    "ESPnet's ASR": "import espnet2.bin.asr_train, espnet2.bin.asr_inference",
    "espnet_prune": "import espnet_prune",
}


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="look at versions only, import nothing"
    )
    return parser


def requirements(name: str) -> Dict[str, str]:
    """Read a pinned requirements file as {distribution: version}."""
    text = (TOOLS / "requirements" / name).read_text(encoding="utf-8")
    lines = (re.split("[#;]", line)[0].strip() for line in text.splitlines())
    return dict(line.split("==") for line in lines if line)


def installed(name: str) -> Optional[str]:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def line() -> str:
    """Return the line of ESPnet that is installed, or that this Python is for."""
    release = re.match(r"\d+", installed("espnet") or "")
    if release is None:
        return "202611" if sys.version_info >= (3, 12) else "202511"
    return "202611" if int(release.group()) >= 202609 else "202511"


def row(ok: bool, name: str, note: str) -> None:
    """Print one line of the list."""
    print(f"[{'x' if ok else ' '}] {name:<24} {note}".rstrip())


def check_packages(pins: Dict[str, str]) -> List[str]:
    """Print a line per distribution; return those that are missing."""
    missing = []
    for name, pin in pins.items():
        version = installed(name)
        note = version or "missing"
        if version and pin and version != pin:
            note += f" (tested with {pin})"
        row(version is not None, name, note)
        if version is None:
            missing.append(name)
    return missing


def check_program(name: str, use: str) -> None:
    """Print where a program is, or what one goes without."""
    path = shutil.which(name)
    if path is None and name == "sclite" and shutil.which("sctk"):
        path = f"{shutil.which('sctk')} sclite"
    row(path is not None, name, path or f"not found; for {use}")


def check_import(code: str) -> Tuple[bool, str]:
    """Run `code` in a fresh Python; return success and the error's last line."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    lines = done.stderr.strip().splitlines()
    if done.returncode == 0:
        return True, "imports"
    return False, lines[-1] if lines else f"exit status {done.returncode}"


def main() -> int:
    """Return the exit status: 1 if something required is missing."""
    args = get_parser().parse_args()
    print(f"Python {platform.python_version()} ({sys.executable})")
    print(f"{platform.platform()}\n\nRequired packages")
    pins = {"espnet": line(), **dict.fromkeys([*REQUIRED, *LINES[line()]], "")}
    missing = check_packages({**pins, **requirements(f"asr-{line()}.txt")})
    for name, use in OPTIONAL_FILES.items():
        print(f"\nOptional: {use} (requirements/{name})")
        check_packages(requirements(name))
    print("\nOptional: recognition in a browser (web/package.json)")
    row(*page_row())
    print("\nOptional programs")
    for name, use in PROGRAMS.items():
        check_program(name, use)
    if not args.quick:
        print("\nDoes it load?")
        row(*cuda_row())
        for name, code in IMPORTS.items():
            ok, note = check_import(code)
            row(ok, name, note)
            if not ok:
                missing.append(name)
    print()
    if missing:
        print(f"Missing: {', '.join(dict.fromkeys(missing))}. Run 'make -C tools'.")
        return 1
    print("All that training and decoding need is there.")
    return 0


def page_row() -> Tuple[bool, str, str]:
    """Say which onnxruntime-web is there, for pages."""
    name, web = "onnxruntime-web", TOOLS / "web"
    pin = json.loads((web / "package.json").read_text("utf-8"))["dependencies"][name]
    found = web / "node_modules" / name / "package.json"
    if not found.exists():
        return False, name, "missing; call 'make -C tools web'"
    version = json.loads(found.read_text("utf-8"))["version"]
    return True, name, version + f" (tested with {pin})" * (version != pin)


def cuda_row() -> Tuple[bool, str, str]:
    """Say what torch can compute on."""
    code = (
        "import torch; c = torch.cuda.is_available(); "
        "print(torch.cuda.get_device_name(0) if c else 'no: training uses the CPU')"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    note = done.stdout.strip() or "torch does not load"
    return not note.startswith(("no:", "torch")), "CUDA", note


if __name__ == "__main__":
    sys.exit(main())
