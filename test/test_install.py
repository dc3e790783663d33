# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The package's metadata and the installer under tools/."""

import importlib.metadata
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"
INSTALLERS = TOOLS / "installers"
REQUIREMENTS = sorted((TOOLS / "requirements").glob("*.txt"))


def run(*command, **kwargs):
    """Run a command without the outer make's options; capture text."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    env.update(kwargs.pop("env", {}))
    return subprocess.run(
        [str(c) for c in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=env,
        **kwargs,
    )


def load(name):
    """Import one of the installers' Python files."""
    spec = importlib.util.spec_from_file_location(name, INSTALLERS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path):
    """Read {canonical name: version}; lines are NAME==VERSION, maybe with a Python."""
    pins = {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            pin = r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!-]+)"
            match = re.fullmatch(rf'{pin}(; python_version >= "[0-9.]+")?', line)
            assert match, f"{path.name}: not pinned: {line}"
            assert canonical(match[1]) not in pins, f"{path.name}: twice: {line}"
            pins[canonical(match[1])] = match[2]
    return pins


@pytest.fixture(scope="module")
def metadata():
    """The arguments that setup.py gives to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    captured = {}
    original, folder = setuptools.setup, os.getcwd()
    setuptools.setup = captured.update
    os.chdir(ROOT)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = original
        os.chdir(folder)
    return captured


def test_files_that_are_no_code_are_installed(metadata):
    folder = ROOT / "espnet_prune"
    given = {
        path
        for package, patterns in metadata["package_data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    found = {path for path in folder.rglob("*") if path.suffix not in (".py", ".pyc")}
    assert {path for path in found if path.is_file()} == given


def test_importing_the_package_is_cheap():
    code = (
        "import sys, espnet_prune; dir(espnet_prune); "
        "heavy = {'torch', 'torchaudio', 'espnet', 'espnet2', 'nltk', 'librosa'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_setup_metadata(metadata):
    import espnet_prune

    assert metadata["name"] == "espnet_prune"
    assert metadata["version"] == espnet_prune.__version__
    scripts = metadata["entry_points"]["console_scripts"]
    assert scripts == ["espnet-prune=espnet_prune.__main__:main"]
    extras = set(metadata["extras_require"])
    assert extras >= {"train", "recipe", "report", "onnx", "runtime", "test", "demo"}
    required = {re.split(r"[<>=!~]", r)[0] for r in metadata["install_requires"]}
    assert required == {"numpy", "PyYAML"}  # no torch: that of a board is "runtime"
    runtime = [
        re.split(r"[<>=!~]", r)[0] for r in metadata["extras_require"]["runtime"]
    ]
    assert runtime == ["onnxruntime", "sentencepiece", "soundfile", "soxr"]
    onnx = set(metadata["extras_require"]["onnx"])
    assert onnx > {"onnx>=1.16", *metadata["extras_require"]["runtime"]}
    tests = [
        canonical(re.split(r"[<>=!~;]", r)[0])
        for r in metadata["extras_require"]["test"]
    ]
    pins = [
        read_pins(TOOLS / "requirements" / f"{n}.txt") for n in ("test", "runtimes")
    ]
    assert set(tests) == {*pins[0], *pins[1]}
    assert set(metadata["extras_require"]["runtimes"]) < set(
        metadata["extras_require"]["test"]
    )
    # No resolver satisfies espnet 202511 beside torch 2.13; 202611 has Python 3.12.
    everything = sum(metadata["extras_require"].values(), [])
    espnet = [r for r in everything if re.split(r"[<>=!~;]", r)[0] == "espnet"]
    assert espnet == ['espnet>=202611; python_version >= "3.12"']


def test_every_folder_with_code_is_packaged(metadata):
    folders = {p.parent for p in (ROOT / "espnet_prune").rglob("*.py")}
    names = {".".join(f.relative_to(ROOT).parts) for f in folders}
    assert names == set(metadata["packages"])


def test_extra_train_is_what_the_installer_installs(metadata):
    core = {canonical(re.split(r"[<>=!~]", r)[0]) for r in metadata["install_requires"]}
    for line, marker, more in (
        ("202511", 'python_version < "3.12"', {"torch", "torchaudio"}),
        ("202611", 'python_version >= "3.12"', {"torch", "espnet"}),
    ):
        extra = [r.split("; ") for r in metadata["extras_require"]["train"]]
        extra = [name for name, where in extra if where == marker]
        names = {canonical(re.split(r"[<>=!~]", r)[0]) for r in extra}
        pins = set(read_pins(TOOLS / "requirements" / f"asr-{line}.txt"))
        assert names | core == pins | more


def of_line(line):
    """Return the requirements files that an environment of a line of ESPnet takes."""
    other = {"202511": "202611", "202611": "202511"}[line]
    return [path for path in REQUIREMENTS if other not in path.name]


@pytest.mark.parametrize("line", ["202511", "202611"])
def test_requirements_are_pinned_once_and_leave_torch_alone(line):
    seen = {}
    for path in of_line(line):
        for name, version in read_pins(path).items():
            assert name not in seen, f"{name} is in {seen[name]} and {path.name}"
            assert name not in {"torch", "torchaudio", "espnet", "ci-sdr"}
            seen[name] = path.name
    assert seen["numpy"] == f"asr-{line}.txt"
    assert {"pytest", "pytest-xdist"} <= {n for n, f in seen.items() if f == "test.txt"}


def test_requirements_allow_each_other():
    """Installed pins agree with what their distributions require."""
    packaging = pytest.importorskip("packaging.requirements")
    pins = {}
    for path in of_line("202511" if sys.version_info < (3, 12) else "202611"):
        pins.update(read_pins(path))
    for name, version in pins.items():
        try:
            dist = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if dist.version != version:
            continue
        for text in dist.requires or []:
            wanted = packaging.Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                pin = pins.get(canonical(wanted.name))
                assert pin is None or wanted.specifier.contains(
                    pin, True
                ), f"{name} {version} wants {wanted}, pinned is {pin}"


def test_check_prints_versions():
    done = run("make", "-C", TOOLS, "check", f"VENV={sys.prefix}", "CHECK_ARGS=--quick")
    # Two when something required is missing; the list is printed all the same.
    assert done.returncode in (0, 2)
    for name in ("numpy", "PyYAML"):
        version = importlib.metadata.version(name)
        assert re.search(rf"^\[x\] {name} +{re.escape(version)}", done.stdout, re.M)
    programs = ("sclite", "flac", "sox", "chromium", "npm")
    for name in ("espnet", "onnx", "sherpa-onnx", "onnxruntime-web", *programs):
        assert re.search(rf"^\[[x ]\] {name} ", done.stdout, re.M), name


def test_check_without_environment(tmp_path):
    done = run("make", "-C", TOOLS, "check", f"VENV={tmp_path}/none")
    assert done.returncode == 2
    assert f"there is no environment in {tmp_path}/none" in done.stdout


def fake_python(path, version):
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["3.8", "3.14"])
def test_unsupported_python_is_refused(tmp_path, version):
    python = fake_python(tmp_path / "python", version)
    done = run(INSTALLERS / "setup_venv.sh", tmp_path / "venv", python)
    assert done.returncode == 2
    lines = "espnet 202511 needs Python 3.9, 3.10 or 3.11, espnet 202611 needs 3.12 or"
    assert done.stdout.startswith(f"espnet_prune: error: {lines} 3.13, but ")
    assert f"is Python {version}" in done.stdout and done.stdout.count("\n") == 1
    assert not (tmp_path / "venv").exists()


def test_missing_python_is_refused(tmp_path):
    done = run(INSTALLERS / "setup_venv.sh", tmp_path / "venv", tmp_path / "absent")
    assert done.returncode == 2
    assert "cannot run" in done.stdout and done.stdout.count("\n") == 1


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("x")
    done = run(INSTALLERS / "setup_venv.sh", tmp_path, sys.executable)
    assert done.returncode == 2
    assert "is not a Python environment" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_finished_steps_are_not_repeated_until_their_files_change(tmp_path):
    tools = tmp_path / "tools"
    skip = shutil.ignore_patterns("venv", "espnet", "wheels", "__pycache__")
    shutil.copytree(TOOLS, tools, ignore=skip)
    (tmp_path / "setup.py").write_text("")
    plan = ("make", "-n", "-C", tools, "venv", f"VENV={tmp_path}/venv")

    first = run(*plan).stdout
    for script in ("setup_venv", "install_torch", "install_espnet", "install_package"):
        assert f"{script}.sh" in first
    # so tests of ONNX and of the runtime are never skipped
    assert re.search(r"install_requirements.sh .* asr recipe onnx$", first, re.M)
    for stamp in re.findall(r"^touch (\S+)", first, re.M):
        Path(stamp).parent.mkdir(parents=True, exist_ok=True)
        Path(stamp).touch()
    assert ".sh" not in run(*plan).stdout

    with open(tools / "requirements" / "asr-202611.txt", "a") as stream:
        stream.write("another==1\n")
    again = run(*plan).stdout
    assert "install_requirements.sh" in again and "install_torch.sh" not in again


def test_existing_environments_keep_their_versions(tmp_path):
    pick = load("pick_requirements").pick
    path = tmp_path / "r.txt"
    marker = '; python_version >= "3.10"'
    path.write_text(f"# comment\npytest==0.1\nno-such==1.2{marker}  # why\n\n")
    assert pick([path], False, False) == ["pytest==0.1", f"no-such==1.2{marker}"]
    assert pick([path], True, False) == [f"no-such==1.2{marker}"]
    assert pick([path], True, True) == [f"no-such{marker}"]


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("reason", ["libx.so: cannot open shared object file", "other"])
def test_torchaudio_is_touched_only_beside_a_cpu_torch(
    tmp_path, monkeypatch, capsys, cuda, reason
):
    fix = load("fix_torchaudio")
    part = tmp_path / "part.so"
    part.touch()

    def import_error(module):
        return reason if module == "torchaudio" and part.exists() else ""

    monkeypatch.setattr(fix, "import_error", import_error)
    monkeypatch.setattr(fix, "torch_has_cuda", lambda: cuda)
    monkeypatch.setattr(fix, "compiled_parts", lambda: [part])
    repaired = not cuda and reason != "other"
    assert fix.main() == (0 if repaired else 2)
    assert part.exists() is not repaired
    assert ("espnet_prune: error:" in capsys.readouterr().err) is not repaired


def test_nltk_finds_its_archives_without_a_network(tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    seed = load("seed_nltk")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(LookupError):
        nltk.data.find(seed.ARCHIVES[0])
    seed.main()
    for name in seed.ARCHIVES:
        nltk.data.find(name)


def test_recipes_find_the_environment(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    fake_python(python, "here")
    code = f". {TOOLS}/activate_python.sh && . {TOOLS}/extra_path.sh && python"
    env = {"ESPNET_PRUNE_VENV": str(tmp_path)}
    done = run("bash", "-euo", "pipefail", "-c", code, env=env)
    assert (done.returncode, done.stdout) == (0, "here\n")


def in_environment(folder, code):
    """Run Bash with the installers' functions, on a Python that is a script."""
    (folder / "bin").mkdir(exist_ok=True)
    code = f". {INSTALLERS}/common.sh; use_env {folder}; {code}"
    return run("bash", "-c", code)


@pytest.mark.parametrize(
    "python, espnet, line",
    [
        ("3.9", "", "202511"),
        ("3.11", "", "202511"),
        ("3.12", "", "202611"),
        ("3.13", "202611", "202611"),
        ("3.11", "202511", "202511"),
        ("3.12", "202511.post1", "202511"),
        ("3.12", "202609", "202611"),
    ],
)
def test_the_line_of_an_environment(tmp_path, python, espnet, line):
    (tmp_path / "bin").mkdir()
    script = f"#!/bin/sh\n[ $1 = -c ] && echo {python} || echo {espnet}\n"
    (tmp_path / "bin" / "python").write_text(script)
    (tmp_path / "bin" / "python").chmod(0o755)
    done = in_environment(tmp_path, "line_here; requirements_file asr")
    assert done.stdout.split() == [line, f"{TOOLS}/requirements/asr-{line}.txt"]
    done = in_environment(tmp_path, "requirements_file test")
    assert done.stdout.split() == [f"{TOOLS}/requirements/test.txt"]


def test_what_is_compiled_asks_for_headers_in_a_sentence(tmp_path):
    """A Python without wheel, headers or pip, as on a bare Debian 13."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(
        "#!/bin/sh\ncase $2 in pip) exit 1 ;; *include*) exit 1 ;; esac\n"
        "case $1 in */pick_requirements.py) echo editdistance==0.8.1 ;; esac\n"
        "case $2 in *version_info*) echo 3.13 ;; esac\n"
    )
    python.chmod(0o755)
    done = run(INSTALLERS / "install_requirements.sh", tmp_path, "asr")
    assert done.returncode == 2
    assert "has no wheel for Python 3.13 and is compiled here" in done.stdout
    assert "apt install python3-dev g++" in done.stdout.splitlines()[-1]


def test_the_other_line_is_said_where_it_cannot_be_tested(tmp_path):
    (tmp_path / "bin").mkdir()
    fake_python(tmp_path / "bin" / "python", "3.11")
    env = {"PATH": "/usr/bin:/bin", "PYENV_ROOT": str(tmp_path)}
    for version in ("3.12", "3.13"):  # what is on PATH does not start
        fake_python(tmp_path / "bin" / f"python{version}", "")
    env["PATH"] = f"{tmp_path}/bin:{env['PATH']}"
    done = run(INSTALLERS / "test_other.sh", tmp_path, env=env)
    assert done.returncode == 0
    assert "espnet 202611 is not tested: no Python 3.13 or 3.12 is on" in done.stdout


def test_ci_runs_the_documented_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = script.read_text().splitlines()[-2:]
    assert [c.split(" || ")[0] for c in commands] == [
        "make -C tools test",
        "exec make -C tools test_other",
    ]


def test_link_needs_a_checkout(tmp_path):
    done = run(INSTALLERS / "link_espnet.sh", tmp_path)
    assert done.returncode == 2
    assert "is no ESPnet checkout" in done.stdout
