#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Lay a pull request to ESPnet out, and say whether it is small enough for one.

    tools/upstream/lay_out.py                          only says how large it is
    tools/upstream/lay_out.py --output_dir FOLDER      new files go to FOLDER
    tools/upstream/lay_out.py --output_dir CHECKOUT    ... of ESPnet: files of its own
                                                       get their lines, too

What is taken stands in TAKEN and LINKS, and as files of the same path in `files`; what
is added to files of ESPnet in EDITS. Exit code 1: over a limit; 2: it does not fit.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Dict, List, NamedTuple, Optional, Sequence

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(__file__).resolve().parent / "files"
TEMPLATE, AN4 = "egs2/TEMPLATE/asr_prune1", "egs2/an4/asr_prune1"
# of CONTRIBUTING.md: at most 30 files, fewer than 1500 lines; of pre-commit: bytes
MAX_FILES, MAX_LINES, MAX_BYTES = 30, 1499, 500 * 1024

# file here, or a pattern: path there, a folder where it ends in "/"
TAKEN: Dict[str, str] = {
    f"{TEMPLATE}/path.sh": f"{TEMPLATE}/",
    f"{TEMPLATE}/prune.sh": f"{TEMPLATE}/",
    f"{TEMPLATE}/setup.sh": f"{TEMPLATE}/",
    f"{TEMPLATE}/scripts/*.sh": f"{TEMPLATE}/scripts/",
    f"{AN4}/conf/train_asr.yaml": f"{AN4}/conf/train.yaml",
    f"{AN4}/conf/decode_asr.yaml": f"{AN4}/conf/decode.yaml",
    f"{AN4}/conf/prune_l0_50.yaml": f"{AN4}/conf/prune.yaml",
    f"{AN4}/conf/recover.yaml": f"{AN4}/conf/",
    f"{AN4}/conf/prune_l0_70.yaml": f"{AN4}/conf/tuning/",
    f"{AN4}/conf/prune_macs_50.yaml": f"{AN4}/conf/tuning/",
    f"{AN4}/conf/prune_obs_50.yaml": f"{AN4}/conf/tuning/",
}
LINKS: Dict[str, str] = {
    f"{AN4}/{name}": f"../../TEMPLATE/asr_prune1/{name}"
    for name in ("path.sh", "prune.sh", "scripts")
}
# path there: text here, text there
REPLACED = {
    f"{TEMPLATE}/prune.sh": (" (docs/own_models.md: its order)", ""),
}
# ESPnet's checks build these with its own classes, and want these to be all the same
BUILT = ["egs2/*/asr1/conf/train_asr*.yaml", "egs2/*/asr1/conf/train_transducer*.yaml"]
BUILT += ["egs2/*/asr1/conf/train_lm*.yaml", "egs2/*/tts1/conf/train*.yaml"]
BUILT += ["egs2/*/enh1/conf/train*.yaml", "egs2/*/ssl1/conf/train*.yaml"]
BUILT += ["egs2/*/enh_asr1/conf/train_enh_asr*.yaml"]
SAME = [f"egs2/*/*/{name}" for name in ("cmd.sh", "conf/slurm.conf")]
SAME += [f"egs2/*/*/conf/{name}.conf" for name in ("queue", "pbs")]


class Edit(NamedTuple):
    """Lines that go into a file of ESPnet, in front of a line or behind it."""

    file: str
    line: str
    where: str
    added: str


EDITS = [
    Edit(
        "tools/Makefile",
        "check_install: python\n",
        "before",
        "espnet_prune.done: espnet.done\n"
        "\t$(call start_timer,espnet_prune.done)\n"
        "\t. ./activate_python.sh && ./installers/install_espnet_prune.sh\n"
        "\t$(call end_timer_and_touch,espnet_prune.done)\n\n",
    ),
    Edit(
        "tools/check_install.py",
        '    ("lightning", None, "installers/install_lightning.sh"),\n',
        "after",
        '    ("espnet_prune", None, "installers/install_espnet_prune.sh"),\n',
    ),
    Edit(
        "doc/index.rst",
        "   ./espnet2_distributed.md\n",
        "after",
        "   ./espnet2_pruning.md\n",
    ),
    Edit(
        "doc/index.md",
        "      - title: Document Generation\n",
        "before",
        "      - title: Pruning\n"
        "        details: Making trained speech recognisers smaller\n"
        "        icon: material-symbols-light:content-cut\n"
        "        link: ./espnet2_pruning.md\n\n",
    ),
    Edit(
        "doc/vuepress/create_menu.py",
        '                {"text": "Distributed training", "link": '
        '"espnet2_distributed.md"},\n',
        "after",
        '                {"text": "Pruning", "link": "espnet2_pruning.md"},\n',
    ),
]


def fail(text: str) -> None:
    """End with a sentence and exit code 2."""
    print(f"espnet_prune: error: {text}", file=sys.stderr)
    sys.exit(2)


def text_of(source: Path, path: str) -> str:
    """Return a file's text as it is there: with its tables, and what is replaced."""
    text = source.read_text(encoding="utf-8")
    for number, page in re.findall(r"^\{table (\d+) of (\S+)\}$", text, re.M):
        rows = (ROOT / page).read_text(encoding="utf-8")
        tables = re.findall(r"^<!-- rows .*\n((?:\|.*\n)+)<!-- end", rows, re.M)
        text = text.replace(
            f"{{table {number} of {page}}}\n", tables[int(number) - 1], 1
        )
    if path in REPLACED:
        here, there = REPLACED[path]
        if here not in text:
            fail(f"{source}: '{here}' is not in it, but in REPLACED of {__file__}")
        text = text.replace(here, there)
    return text


def new_files() -> Dict[str, Path]:
    """Return {path there: file here} of all that are new, without links."""
    found = {}
    for pattern, target in TAKEN.items():
        sources = sorted(ROOT.glob(pattern))
        if not sources:
            fail(f"{ROOT / pattern} is missing, which TAKEN of {__file__} names")
        for source in sources:
            name = target + source.name if target.endswith("/") else target
            found[name] = source
    for source in sorted(FILES.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            found[source.relative_to(FILES).as_posix()] = source
    return found


def edit(output_dir: Path, change: Edit) -> bool:
    """Add the lines to ESPnet's file, unless they are there; False: no such file."""
    path = output_dir / change.file
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8")
    if change.added in text:
        return True
    if text.count(change.line) != 1:
        told = "the line in EDITS has to be another: ESPnet has changed"
        fail(f"{path}: '{change.line.strip()}' is not there exactly once; {told}")
    parts = [change.line, change.added]
    added = "".join(parts if change.where == "after" else reversed(parts))
    path.write_text(text.replace(change.line, added), encoding="utf-8")
    return True


def lay_out(output_dir: Path) -> Dict[str, int]:
    """Write everything; returns {path there: lines that are new}."""
    lines = {}
    for name, source in new_files().items():
        target = output_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = text_of(source, name)
        target.write_text(text, encoding="utf-8")
        shutil.copymode(source, target)
        lines[name] = len(text.splitlines())
    for name, target_of_link in LINKS.items():
        link = output_dir / name
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target_of_link)
        lines[name] = 1
    for change in EDITS:
        if not edit(output_dir, change):
            print(f"{change.file}: is not there, so its lines are only counted")
        lines[change.file] = len(change.added.splitlines())
    return lines


def problems(output_dir: Path, lines: Dict[str, int]) -> List[str]:
    """Return what ESPnet would refuse, a sentence each."""
    found = []
    if len(lines) > MAX_FILES:
        found.append(f"{len(lines)} files are more than {MAX_FILES}")
    if sum(lines.values()) > MAX_LINES:
        found.append(f"{sum(lines.values())} lines are more than {MAX_LINES}")
    for name in lines:
        path = output_dir / name
        if any(PurePosixPath(name).match(pattern) for pattern in BUILT):
            found.append(f"{name}: ESPnet's checks build it with its own classes")
        if any(PurePosixPath(name).match(pattern) for pattern in SAME):
            found.append(f"{name}: has to be the same as in all recipes")
        if path.is_symlink() and os.path.isabs(os.readlink(path)):
            found.append(f"{name}: is a link to an absolute path")
        elif path.is_symlink() and not path.exists():
            found.append(f"{name}: is a link that leads nowhere")
        elif path.is_file() and path.stat().st_size > MAX_BYTES:
            found.append(f"{name}: is larger than {MAX_BYTES // 1024} KB")
    return found


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=Path, help="a folder, or a checkout")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit code."""
    args = get_parser().parse_args(cmd)
    if args.output_dir is not None and args.output_dir.is_file():
        fail(f"--output_dir: {args.output_dir} is a file; give a folder")
    with tempfile.TemporaryDirectory() as nowhere:
        output_dir = args.output_dir or Path(nowhere)
        lines = lay_out(output_dir)
        found = problems(output_dir, lines)
    for name in sorted(lines):
        print(f"{lines[name]:5d}  {name}")
    print(f"{len(lines)} of at most {MAX_FILES} files,", end=" ")
    print(f"{sum(lines.values())} of at most {MAX_LINES} lines")
    for sentence in found:
        print(f"espnet_prune: error: {sentence}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
