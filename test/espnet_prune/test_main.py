# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The console script: its help, its errors, and what it hands on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_prune import __main__ as door

BIN = Path(door.__file__).parent / "bin"


def run(*words):
    """Run a command; capture text."""
    return subprocess.run(list(map(str, words)), capture_output=True, text=True)


def test_help_lists_every_command_once_by_stage():
    text = door.usage()
    listed = re.findall(r"^  (\w+) +\S", text, re.M)
    assert sorted(listed) == sorted(p.stem for p in BIN.glob("[!_]*.py"))
    assert "\nothers:" not in text  # a new command wants its stage in STAGES
    assert all(len(line) <= 110 for line in text.splitlines())


def test_commands_are_thin_and_nothing_stands_on_them():
    """What a command does lies in a room, where others can use it."""
    lines = [p.read_text(encoding="utf-8").count("\n") for p in BIN.glob("*.py")]
    assert sum(lines) <= 65 * len(lines) and max(lines) <= 170
    above = {BIN / "__init__.py", *BIN.glob("*.py")}
    for path in set(BIN.parent.rglob("*.py")) - above:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ())]
            module = getattr(node, "module", None) or ""
            used = [*names, *(f"{module}.{name}" for name in names)]
            found = [
                name for name in used if f"{name}.".startswith("espnet_prune.bin.")
            ]
            assert not found, f"{path}: imports {found}"


def test_a_line_is_the_first_of_the_docstring(capsys):
    door.main(["--help"])
    assert (
        "  cut              Cut a model to the result of a" in capsys.readouterr().out
    )


def test_an_unknown_command_is_told():
    done = run(sys.executable, "-m", "espnet_prune", "sekect")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no command sekect (did you mean 'select'?)" in done.stderr


@pytest.mark.parametrize("name", ["audio_state", "audio-state"])
def test_options_and_errors_are_those_of_the_command(name):
    done = run(sys.executable, "-m", "espnet_prune", name, "--help")
    assert done.stdout.startswith("usage: espnet-prune audio_state [-h]")
    stays = run(sys.executable, "-m", "espnet_prune.bin.audio_state", "--help")
    assert stays.stdout.startswith("usage: audio_state.py [-h]")


def test_the_exit_code_is_that_of_the_command(tmp_path):
    words = ("run", tmp_path / "log", "exit 3")
    assert run(sys.executable, "-m", "espnet_prune", *words).returncode == 1
    words = ("score", "--ref", tmp_path, "--hyp", tmp_path)
    done = run(sys.executable, "-m", "espnet_prune", *words)
    assert done.returncode == 2 and "espnet_prune: error: " in done.stderr


def test_help_is_cheap():
    code = "import sys; from espnet_prune.__main__ import main; main(['-h'])"
    code += "; assert not {'torch', 'numpy', 'yaml'} & set(sys.modules)"
    assert run(sys.executable, "-c", code).returncode == 0


def test_the_script_lies_beside_python():
    script = Path(sys.executable).parent / "espnet-prune"
    if not script.exists():
        pytest.skip("espnet_prune is not installed here")
    done = run(script, "--help")
    assert done.returncode == 0 and done.stdout == door.usage() + "\n"
