#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Print the requirement lines that an environment should install."""

import argparse
import importlib.metadata
import re
from pathlib import Path
from typing import List


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", help="requirements files")
    parser.add_argument(
        "--keep-installed",
        action="store_true",
        help="leave out what is installed, whatever its version",
    )
    parser.add_argument("--no-pins", action="store_true", help="drop ==version")
    return parser


def is_installed(name: str) -> bool:
    """Tell whether a distribution of that name is installed."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def pick(files: List[str], keep_installed: bool, no_pins: bool) -> List[str]:
    """Return the wanted requirement lines of `files`, without comments."""
    picked = []
    for path in files:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            line = line.split("#")[0].strip()
            if not line:
                continue
            name = re.split(r"[\s=<>!~;\[]", line)[0]
            if keep_installed and is_installed(name):
                continue
            picked.append(re.sub(r"==[^;\s]+", "", line) if no_pins else line)
    return picked


def main() -> None:
    """Print one requirement per line."""
    args = get_parser().parse_args()
    for line in pick(args.files, args.keep_installed, args.no_pins):
        print(line)


if __name__ == "__main__":
    main()
