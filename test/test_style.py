# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Style of every file: formatters, linters, headers, sizes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = {
    *("docs", "egs2", "espnet_prune", "test", "tools"),
    *("setup.py", "setup.cfg", "README.md", "LICENSE"),
}


def git(*args):
    """Run git in the repository, or skip where this is no checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(ROOT), *args]
    return subprocess.check_output(command, universal_newlines=True).splitlines()


def our_files(*patterns):
    """List files that git tracks or would track."""
    listed = git("ls-files", "-co", "--exclude-standard", "--", *patterns)
    paths = [ROOT / name for name in sorted(set(listed))]
    return [p for p in paths if p.is_file() and not p.is_symlink()]


def check(command):
    """Run a checker; its output is the failure's message."""
    done = subprocess.run(
        [str(c) for c in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("tool", [["black", "--check"], ["isort", "-c"], ["flake8"]])
def test_python_style(tool):
    pytest.importorskip(tool[0])
    check([sys.executable, "-m", *tool, *our_files("*.py")])


def test_python_header_and_size():
    for path in our_files("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines:
            assert any("Apache 2.0" in line for line in lines[:4]), f"{path}: no header"
        assert len(lines) <= 400, f"{path} has {len(lines)} lines"


def test_shell_style():
    beside = Path(sys.executable).parent / "shellcheck"
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = our_files("*.sh", ".ci/run")
    # As ESPnet: sourced files without a first line, unquoted options and so on.
    options = ["-x", "-P", "SCRIPTDIR", "-e", "SC1091,SC2001,SC2086,SC2148"]
    check([shellcheck, *options, *scripts])


def test_shell_scripts_can_be_run():
    for path in our_files("*.sh", ".ci/run"):
        sourced = path.name in {"path.sh", "cmd.sh"}
        if path.read_bytes().startswith(b"#!") and not sourced:
            assert path.stat().st_mode & 0o100, f"{path} is not executable"


def test_top_level_is_small():
    names = {name.split("/")[0] for name in git("ls-files")}
    assert {n for n in names if not n.startswith(".")} <= TOP_LEVEL
