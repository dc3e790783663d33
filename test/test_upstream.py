# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The pull request to ESPnet: its size, and what ESPnet's checks ask of it.

What these run is restated here; with ESPNET_ROOT they are run themselves, too.
"""

import importlib.util
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from test.espnet_tree import copy_tree, git, lacking

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tools/upstream/lay_out.py"
PYCODESTYLE = "--max-line-length=88 --ignore=W503,E203,E231".split()
SHELLCHECK = "-x -e SC2001 -e SC1091 -e SC2086".split()
FAKE_PIP = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n'


def run(folder, *command, **env):
    """Run a command; its output is the failure's message."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=dict(os.environ, OMP_NUM_THREADS="1", **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def load():
    """Import the script."""
    spec = importlib.util.spec_from_file_location("lay_out", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """The folder with the new files, and what was said of it."""
    folder = tmp_path_factory.mktemp("upstream")
    words = (f"OUT={folder}", f"PYTHON={sys.executable}")
    # which says the directory where make runs the tests, too
    make = ("make", "-s", "--no-print-directory", "-C", "tools")
    return folder, run(ROOT, *make, "upstream", *words)


@pytest.fixture
def lay_out(tmp_path, monkeypatch):
    """The script as a module, whose own files are a copy."""
    module = load()
    copy = shutil.copytree(module.FILES, tmp_path / "files")
    monkeypatch.setattr(module, "FILES", Path(copy))
    return module


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A checkout of ESPnet with the pull request on it, and what was said of it."""
    if not os.environ.get("ESPNET_ROOT"):
        pytest.skip("ESPNET_ROOT names no checkout of ESPnet")
    folder = copy_tree(tmp_path_factory.mktemp("tree") / "espnet")
    return folder, run(ROOT, sys.executable, SCRIPT, "--output_dir", folder)


def files(folder, pattern="*"):
    return [p for p in sorted(folder.rglob(pattern)) if p.is_file() and p.parts]


def size(said):
    """Return (files, lines) as they are printed last."""
    last = said.splitlines()[-1]
    found = re.fullmatch(
        r"(\d+) of at most 30 files, (\d+) of at most 1499 lines", last
    )
    return int(found[1]), int(found[2])


def test_it_is_small_enough(laid_out):
    folder, said = laid_out
    number, lines = size(said)
    edited = re.findall(r"^(\S+): is not there", said, re.M)
    new = [p for p in folder.rglob("*") if p.is_symlink() or p.is_file()]
    assert number == len(new) + len(edited) <= 30
    own = sum(len(p.read_text().splitlines()) for p in new if not p.is_symlink())
    assert own < lines < 1500


@pytest.mark.parametrize(
    "added, told",
    [
        ({f"doc/{n}.md": 1 for n in "abc"}, "31 files are more than 30"),
        ({"doc/a.md": 1501}, "1501 lines are more than 1499"),
        ({"doc/a.md": 1499}, None),
        ({"egs2/an4/asr1/conf/train_asr_x.yaml": 1}, "build it with its own classes"),
        ({"egs2/an4/asr_prune1/cmd.sh": 1}, "has to be the same as in all recipes"),
    ],
)
def test_what_is_over_a_limit_is_refused(lay_out, capsys, added, told):
    """Lines are those of all files together."""
    assert lay_out.main([]) == 0
    number, lines = size(capsys.readouterr().out)
    for name, wanted in added.items():
        path = lay_out.FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n" * (wanted if wanted == 1 else wanted - lines))
    if len(added) > 1:
        assert number + len(added) == 31
    assert lay_out.main([]) == (1 if told else 0)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == bool(told) and (told or "") in "".join(said)


def test_files_of_espnet_get_their_lines_once(lay_out, tmp_path, capsys):
    for change in lay_out.EDITS:
        path = tmp_path / "espnet" / change.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"before\n{change.line}after\n")
    words = ["--output_dir", str(tmp_path / "espnet")]
    assert lay_out.main(words) == lay_out.main(words) == 0
    assert "is not there" not in capsys.readouterr().out
    for change in lay_out.EDITS:
        text = (tmp_path / "espnet" / change.file).read_text()
        assert text.count(change.added) == text.count(change.line) == 1
    (tmp_path / "espnet" / "tools/Makefile").write_text("all:\n")
    with pytest.raises(SystemExit) as ended:
        lay_out.main(words)
    assert ended.value.code == 2
    assert "ESPnet has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "tool",
    [["black", "--check", "-q"], ["isort", "-c", "--profile", "black"]]
    + [["pycodestyle", *PYCODESTYLE]],
    ids=lambda tool: tool[0],
)
def test_python_style(laid_out, tool):
    pytest.importorskip(tool[0])
    run(laid_out[0], sys.executable, "-m", *tool, *files(laid_out[0], "*.py"))


def test_shell_style(laid_out):
    """As ESPnet calls it, in the folder of each script."""
    beside = Path(sys.executable).parent / "shellcheck"
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    checked = ("egs2/*/*/scripts", "egs2/*/*_prune1", "tools/installers")
    for folder in (found for name in checked for found in laid_out[0].glob(name)):
        names = [path.name for path in folder.glob("*.sh") if not path.is_symlink()]
        names = [name for name in names if name not in ("prune.sh", "path.sh")]
        if not folder.is_symlink():
            run(folder, shellcheck, *SHELLCHECK, *names)


def test_files_are_as_its_hooks_want_them(laid_out):
    for path in files(laid_out[0]):
        text = path.read_bytes().decode()
        assert "\r" not in text and not re.search(r"[ \t]$", text, re.M), path
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        if path.suffix == ".yaml":
            assert isinstance(yaml.safe_load(text), dict)
        if path.suffix == ".sh" and path.name not in ("path.sh", "cmd.sh"):
            assert text.startswith("#!/usr/bin/env bash\n"), path
            assert path.stat().st_mode & 0o100, path


def test_the_recipe_is_laid_out_as_espnet_wants_it(laid_out):
    """Defaults are train.yaml and decode.yaml, all others are in conf/tuning."""
    folder = laid_out[0] / "egs2/an4/asr_prune1"
    names = {"train", "decode", "prune", "recover"}
    assert {path.stem for path in folder.glob("conf/*.yaml")} == names
    used = set(re.findall(r"conf/\S+\.yaml", (folder / "run.sh").read_text()))
    assert used == {f"conf/{name}.yaml" for name in names}
    for name in ("path.sh", "prune.sh", "scripts"):
        assert os.readlink(folder / name) == f"../../TEMPLATE/asr_prune1/{name}"
    assert "{table" not in (folder / "README.md").read_text()
    told = (folder / "README.md").read_text()
    assert set(re.findall(r"`(conf/\S+\.yaml)`", told)) == {
        str(path.relative_to(folder)) for path in folder.glob("conf/**/*.yaml")
    }


def test_its_own_tests_pass_in_time(laid_out):
    """Each may take 10 s; all together do not."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull)
    words += ("--rootdir", ".", "--import-mode=importlib", "test")
    said = run(laid_out[0], sys.executable, *words, PYTHONPATH=str(ROOT))
    assert re.search(r"^5 passed", said, re.M), said
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 10


@pytest.mark.parametrize("source", ["", "git+https://host/x", "."])
def test_the_installer(laid_out, tmp_path, source):
    (tmp_path / "python3").write_text(FAKE_PIP)
    (tmp_path / "python3").chmod(0o755)
    script = laid_out[0] / "tools/installers/install_espnet_prune.sh"
    path = f"{tmp_path}:{os.environ['PATH']}"
    run(tmp_path, script, *([source] if source else []), PATH=path)
    package = "espnet_prune[recipe,report]"
    wanted = {"": package, ".": f"{tmp_path}[recipe,report]"}
    said = (tmp_path / "calls").read_text().splitlines()
    assert len(said) == 2
    assert said[0] == f"-m pip install {wanted.get(source, f'{package} @ {source}')}"
    assert said[1].startswith("-c import espnet_prune")


def test_a_source_that_is_not_there(laid_out, tmp_path):
    script = laid_out[0] / "tools/installers/install_espnet_prune.sh"
    done = subprocess.run([script, "nowhere"], capture_output=True, text=True)
    assert done.returncode == 1 and "neither a folder" in done.stdout


def test_what_is_counted_is_what_git_counts(tree):
    folder, said = tree
    assert "is not there" not in said
    git(folder, "add", "-A", ".")
    rows = git(folder, "diff", "--cached", "--numstat").splitlines()
    changed = [sum(map(int, row.split()[:2])) for row in rows]
    assert (len(rows), sum(changed)) == size(said)


STAGES = "21" if os.environ.get("ESPNET_PRUNE_LONG") else "5"
SMALL = {
    "nj": "1",
    "inference_nj": "1",
    "speed_perturb_factors": "0.9 1.0",
    "asr_args": "--max_epoch 1 --encoder_conf output_size=16 --encoder_conf "
    "linear_units=32 --encoder_conf num_blocks=2 --encoder_conf interctc_layer_idx=[1]",
    "prune_config": "conf/tuning/prune_obs_50.yaml",
    "recover_args": "--max_epoch 1",
}


def test_the_recipe_runs_on_data_of_espnet(tree):
    """The two minutes of mini_an4, by stages 1-5; with ESPNET_PRUNE_LONG by 1-21."""
    if lacking():
        pytest.skip(lacking())
    recipe = tree[0] / "egs2/mini_an4/asr_prune1"
    shutil.copytree(tree[0] / "egs2/an4/asr_prune1", recipe, symlinks=True)
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env["PYTHONPATH"] = str(ROOT)
    said = run(recipe, "./run.sh", "--dry_run", "true", **env)
    assert "| train.yaml | prune.yaml | 0.5 of params |" in said
    words = [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    said = run(recipe, "./run.sh", "--stop_stage", STAGES, *words, **env)
    assert f"Stage {STAGES}: " in said and "Finished in" in said
    assert len(list(recipe.glob("exp/*/RESULTS.md"))) == (STAGES == "21")
    assert len((recipe / "dump/raw/test/wav.scp").read_text().splitlines()) == 2


def test_checks_of_espnet_say_what_they_said(tree):
    """Those that look at files that are changed here, without its environment."""
    folder, _ = tree
    git(folder, "add", "-A", ".")
    run(folder, sys.executable, "ci/check_ci_image_config.py")
    run(folder, sys.executable, "-m", "pycodestyle", "test/espnet2/test_asr_prune1.py")
    text = (folder / "ci/test_configuration_espnet2.sh").read_text()
    built = re.findall(r"^ *for f in (egs2/\S+conf/train\S+); do$", text, re.M)
    assert set(built) == set(load().BUILT)
    assert not [
        p for pattern in built for p in folder.glob(pattern) if "prune" in str(p)
    ]
    rest = text[text.index("# These files must be same") :]
    run(folder, "bash", "-euo", "pipefail", "-c", rest)  # the same, and all setup.sh
    assert (folder / "egs2/test/asr_prune1/prune.sh").exists()
