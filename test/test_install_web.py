# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a page needs is installed by npm and apt-get, where they are, or told."""

import json
import re
import shutil

import pytest

from test.test_install import INSTALLERS, TOOLS, run

WEB = TOOLS / "web"


@pytest.fixture
def tools(tmp_path):
    """A copy of the installers where onnxruntime-web is not installed."""
    shutil.copytree(INSTALLERS, tmp_path / "tools" / "installers")
    (tmp_path / "tools" / "web").mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(WEB / name, tmp_path / "tools" / "web")
    return tmp_path / "tools"


def programs(folder, **scripts):
    """Make a PATH of what installers call themselves, and of stand-ins."""
    folder.mkdir()
    for name in ("bash", "cat", "dirname", "grep", "id", "sed", "mkdir", "cp"):
        (folder / name).symlink_to(shutil.which(name))
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    return {"PATH": str(folder)}


def test_the_lock_file_pins_and_names_no_host():
    lock = json.loads((WEB / "package-lock.json").read_text())
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]
    assert lock["packages"][""]["dependencies"] == wanted
    for name, package in lock["packages"].items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
        resolved = package.get("resolved", "https://registry.npmjs.org/")
        assert resolved.startswith("https://registry.npmjs.org/"), name
    for name, version in wanted.items():
        assert re.fullmatch(r"[0-9.]+", version)
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


def test_npm_is_called_once(tools, tmp_path):
    npm = 'echo "npm $*"; mkdir -p node_modules/onnxruntime-web; '
    version = json.loads((WEB / "package.json").read_text())["dependencies"]
    npm += 'echo \'"version": "%s"\' ' % version["onnxruntime-web"]
    npm += "> node_modules/onnxruntime-web/package.json"
    env = programs(tmp_path / "bin", npm=npm)
    first = run(tools / "installers" / "install_web.sh", env=env)
    again = run(tools / "installers" / "install_web.sh", env=env)
    assert (first.returncode, again.returncode) == (0, 0), first.stdout + again.stdout
    assert "npm ci --ignore-scripts" in first.stdout
    assert "npm ci" not in again.stdout


@pytest.mark.parametrize("npm", [{}, {"npm": "exit 1"}])
def test_without_npm_or_network_it_is_told(tools, tmp_path, npm):
    env = programs(tmp_path / "bin", **npm)
    done = run(tools / "installers" / "install_web.sh", env=env)
    assert done.returncode == 2
    told = "call it in " if npm else "(Debian and Ubuntu: apt install npm)"
    assert done.stdout.splitlines()[-1].startswith("espnet_prune: error: ")
    assert told in done.stdout.splitlines()[-1]


APT = 'echo "apt-get $*" >> "${0%/*}/calls"; [ $1 = update ] || '


@pytest.mark.parametrize("known", [True, False])
def test_root_gets_chromium(tmp_path, known):
    """Lists of packages are fetched only where apt-get does not know Chromium."""
    folder = tmp_path / "bin"
    make = "for n in chromium chromedriver; do cp ${0%/*}/bash ${0%/*}/$n; done"
    if not known:
        make = f"grep -q update ${{0%/*}}/calls && {make}"
    env = programs(folder, apt_get=f"{APT}{{ {make}; }}")
    (folder / "id").unlink()
    (folder / "id").write_text("#!/bin/bash\necho 0\n")
    (folder / "id").chmod(0o755)
    done = run(INSTALLERS / "install_chromium.sh", env=env)
    assert done.returncode == 0, done.stdout
    calls = (folder / "calls").read_text()
    assert "install -y -qq --no-install-recommends chromium chromium-driver" in calls
    assert ("update" in calls) is not known


def test_others_are_told_the_command(tmp_path):
    env = programs(tmp_path / "bin", apt_get="exit 9")
    (tmp_path / "bin" / "id").unlink()
    (tmp_path / "bin" / "id").write_text("#!/bin/bash\necho 1000\n")
    (tmp_path / "bin" / "id").chmod(0o755)
    done = run(INSTALLERS / "install_chromium.sh", env=env)
    assert done.returncode == 2
    command = "apt-get install -y --no-install-recommends chromium chromium-driver"
    assert f"call sudo {command}" in done.stdout


def test_chromium_that_is_there_is_kept(tmp_path):
    env = programs(tmp_path / "bin", chromium="echo Chromium 1.2", chromedriver="")
    done = run(INSTALLERS / "install_chromium.sh", env=env)
    assert (done.returncode, done.stdout) == (0, "[install] Chromium 1.2\n")


def test_the_environment_of_users_needs_neither(tmp_path):
    """`make` alone calls neither npm nor apt-get; `make test` calls both."""
    for target, called in (("all", False), ("web", True), ("test", True)):
        plan = run("make", "-n", "-C", TOOLS, target, f"VENV={tmp_path}/venv")
        assert ("install_web.sh" in plan.stdout) is called, target
        assert ("install_chromium.sh" in plan.stdout) is called, target
        assert bool(
            re.search("install_requirements.sh .* runtimes$", plan.stdout, re.M)
        ) is (target == "test")
