# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which runtimes tests ran: `runtime(NAME)` marks a test that runs the real package.

A marked test is skipped where its runtime is not installed, and counted. The end of a
session lists the runtimes with version and counts. It fails where one of those that
ESPNET_PRUNE_RUNTIMES names was skipped, or ran in no test; tests of many minutes, which
are skipped unless ESPNET_PRUNE_LONG=1 asks for them, do not count.
"""

import collections
import gc
import importlib.metadata
import json
import os
import shutil
from pathlib import Path
from typing import Optional

import pytest

WEB = Path(__file__).resolve().parents[1] / "tools" / "web" / "node_modules"
HOW = {
    "onnxruntime": "make -C tools",
    "sherpa-onnx": "make -C tools runtimes",
    "onnx-asr": "make -C tools runtimes",
    "onnxruntime-web": "make -C tools runtimes web",
}
# those that take a minute or more on one thread come first, so that none is last
LONG_FILES = ("test_pipeline.py", "test_readme.py", "test_recipe.py", "test_style.py")


def version(name: str) -> Optional[str]:
    """Return the version of a runtime, or None where tests cannot run it."""
    if name == "onnxruntime-web":
        package = WEB / name / "package.json"
        programs = all(map(shutil.which, ("chromium", "chromedriver")))
        if not (programs and version("selenium") and package.exists()):
            return None
        return json.loads(package.read_text(encoding="utf-8"))["version"]
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


class Runtimes:
    """Counts of the tests of each runtime, in the process that reports."""

    def __init__(self) -> None:
        self.ran = collections.Counter()
        self.skipped = collections.Counter()

    def pytest_runtest_logreport(self, report) -> None:
        """Count a test by its outcome."""
        names = [value for key, value in report.user_properties if key == "runtime"]
        if report.skipped:
            if "ESPNET_PRUNE_LONG" not in str(report.longrepr):
                self.skipped.update(names)
        elif report.when == "call":
            self.ran.update(names)

    def missing(self):
        """Return those that were to run and did not in every test."""
        wanted = os.environ.get("ESPNET_PRUNE_RUNTIMES", "").split()
        return [name for name in wanted if self.skipped[name] or not self.ran[name]]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session) -> None:
        """Fail where a runtime was to run and did not."""
        if self.missing() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter) -> None:
        """List the runtimes."""
        missing = self.missing()
        names = [name for name in HOW if self.ran[name] or self.skipped[name]]
        if names or missing:
            terminalreporter.section("runtimes")
        for name in dict.fromkeys([*names, *missing]):
            line = f"{name} {version(name) or 'is not installed'}: "
            line += f"{self.ran[name]} tests ran, {self.skipped[name]} skipped"
            terminalreporter.line(line + "; it has to run" * (name in missing))


def pytest_configure(config) -> None:
    """Make the mark known; count in one process."""
    config.addinivalue_line("markers", "runtime(name): runs the real package")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Runtimes(), "espnet_prune_runtimes")


def pytest_itemcollected(item) -> None:
    """Give the runtimes of a test to its reports, which cross processes."""
    for mark in item.iter_markers("runtime"):
        if mark.args[0] not in HOW:
            raise pytest.UsageError(f"{item.nodeid}: no runtime is {mark.args[0]}")
        item.user_properties.append(("runtime", mark.args[0]))


def pytest_runtest_setup(item) -> None:
    """Skip what cannot run here."""
    for mark in item.iter_markers("runtime"):
        if version(mark.args[0]) is None:
            told = f"{mark.args[0]} is not installed; call {HOW[mark.args[0]]}"
            pytest.skip(told)


def pytest_collection_modifyitems(items) -> None:
    """Begin with what takes longest; workers get files in this order."""
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


def pytest_collection_finish() -> None:
    """Collect garbage more seldom, and leave out what was imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
