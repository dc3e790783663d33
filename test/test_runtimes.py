# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A runtime that was to run and did not fails a session, and the list says so."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TESTS = """
import pytest

@pytest.mark.runtime("onnxruntime")
@pytest.mark.parametrize("n", [1, 2])
def test_one(n):
    pass

@pytest.mark.runtime("NAME")
def test_other():
    pytest.skip("for a reason of its own")
"""


def session(folder, name, wanted, *options):
    """Run two tests of onnxruntime and one of `name`; return code and output."""
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    conftest = conftest.replace('    "onnx-asr"', '    "none-such"')
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_x.py").write_text(TESTS.replace("NAME", name))
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"]
    env = dict(os.environ, ESPNET_PRUNE_RUNTIMES=wanted)
    done = subprocess.run(
        [*command, *options, "."], cwd=folder, env=env, capture_output=True, text=True
    )
    ran = r"^onnxruntime \d\S+: 2 tests ran, 0 skipped$"
    assert re.search(ran, done.stdout, re.M), done.stdout
    return done.returncode, done.stdout


def test_a_skipped_runtime_fails_a_session_of_several_processes(tmp_path):
    wanted = "onnxruntime sherpa-onnx"
    code, said = session(tmp_path, "sherpa-onnx", wanted, "-n", "2")
    assert code == 1
    line = r"^sherpa-onnx .*: 0 tests ran, 1 skipped; it has to run$"
    assert re.search(line, said, re.M)


def test_a_runtime_that_is_missing_skips_its_tests(tmp_path):
    code, said = session(tmp_path, "none-such", "onnxruntime")
    assert code == 0
    assert "none-such is not installed; call make -C tools runtimes" in said
    assert "none-such is not installed: 0 tests ran, 1 skipped" in said


@pytest.mark.parametrize(
    "outcomes, missing",
    [
        ("", ["sherpa-onnx"]),
        ("passed", []),
        ("failed", []),
        ("passed skipped", ["sherpa-onnx"]),
        ("passed long", []),
    ],
)
def test_a_runtime_ran_if_no_test_was_skipped(monkeypatch, request, outcomes, missing):
    monkeypatch.setenv("ESPNET_PRUNE_RUNTIMES", "sherpa-onnx")
    (conftest,) = [
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if Path(getattr(plugin, "__file__", "") or "")
        == Path(__file__).parent / "conftest.py"
    ]
    runtimes = conftest.Runtimes()
    for outcome in outcomes.split():
        skipped = outcome in ("skipped", "long")
        why = "runs with ESPNET_PRUNE_LONG=1" if outcome == "long" else "is missing"
        for when in ("setup",) if skipped else ("setup", "call", "teardown"):
            properties = [("other", "x"), ("runtime", "sherpa-onnx")]
            report = SimpleNamespace(
                user_properties=properties,
                skipped=skipped,
                when=when,
                longrepr=("file", 1, why),
            )
            runtimes.pytest_runtest_logreport(report)
    assert runtimes.missing() == missing
