# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Two runs in one experiment directory."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "egs2" / "TEMPLATE" / "asr_prune1" / "scripts"
# stage 15 belongs to one run, stage 14 is shared; each waits for a file
RUN = """
set -euo pipefail
# options
stage=1
stop_stage=99
skip_stages=
# end of options
dense_exp=dense prune_exp=pruned
. scripts/stages.sh
. scripts/parse_options.sh
for n in 14 15; do
    dir=dense
    if [ "${n}" -eq 15 ]; then dir=pruned/select; fi
    if begin "${n}" "${dir}" "Work" input; then
        while [ ! -e "go${n}" ]; do sleep 0.05; done
        finish
    fi
done
"""

pytestmark = pytest.mark.skipif(not shutil.which("flock"), reason="flock is missing")


@pytest.fixture
def start(tmp_path):
    (tmp_path / "scripts").symlink_to(SCRIPTS)
    (tmp_path / "run.sh").write_text(RUN)

    def call(*words):
        return subprocess.Popen(
            ["bash", "run.sh", *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return call


def owner(folder):
    """Wait until somebody has the lock; return the process."""
    deadline = time.time() + 30
    path = folder / ".lock"
    while not path.exists() or not path.read_text().strip():
        assert time.time() < deadline
        time.sleep(0.02)
    return int(path.read_text().split()[0])


def test_the_second_run_refuses(start, tmp_path):
    first = start("--stage", "15")
    assert owner(tmp_path / "pruned") == first.pid
    second = start("--stage", "15")
    _, told = second.communicate(timeout=30)
    assert second.returncode == 2
    assert f"pruned is in use by process {first.pid} on {socket.gethostname()}" in told
    assert len(told.splitlines()) == 1
    (tmp_path / "go15").touch()
    assert first.wait(30) == 0
    third = start("--stage", "15")
    out, told = third.communicate(timeout=30)
    assert third.returncode == 0 and "finished before" in out and not told


def test_a_shared_stage_is_waited_for_and_not_repeated(start, tmp_path):
    first = start("--stop_stage", "14")
    owner(tmp_path / "dense")
    second = start("--stop_stage", "14")
    time.sleep(0.3)
    (tmp_path / "go14").touch()
    assert first.wait(30) == 0
    out, _ = second.communicate(timeout=30)
    assert second.returncode == 0
    assert "waiting for it" in out and "finished by another run, skipped" in out


def test_what_a_killed_run_left_is_taken_over(start, tmp_path):
    first = start("--stage", "15")
    owner(tmp_path / "pruned")
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    for folder, left in (("select", ".x.pth.1.tmp"), ("other", ".x.pth.2.tmp")):
        (tmp_path / "pruned" / folder).mkdir(exist_ok=True)
        (tmp_path / "pruned" / folder / left).touch()
    (tmp_path / "pruned" / "other" / ".lock").touch()
    (tmp_path / "go15").touch()
    # its job, here a sleep, still holds the lock for a moment
    deadline = time.time() + 30
    while True:
        second = start("--stage", "15")
        out, told = second.communicate(timeout=30)
        if second.returncode == 0 or time.time() > deadline:
            break
    assert second.returncode == 0, told
    assert f"Process {first.pid} " in out and "going on from there" in out
    # what it was writing is gone, unless another run may be writing it
    left = [path.name for path in (tmp_path / "pruned").rglob("*.tmp")]
    assert left == [".x.pth.2.tmp"]


def test_a_job_that_outlives_its_recipe_holds_the_lock(start, tmp_path, monkeypatch):
    """As when the recipe's process group is killed: jobs have sessions of their own."""
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS.parents[3]))
    (tmp_path / "job.sh").write_text("echo $$ > job.pid\nexec sleep 60\n")
    job = f"{sys.executable} -m espnet_prune.bin.run job.log bash job.sh"
    (tmp_path / "run.sh").write_text(RUN.replace("    while", f"    {job}\n    while"))
    first = start("--stage", "15")
    deadline, pid = time.time() + 60, tmp_path / "job.pid"
    while not pid.exists() or not pid.read_text().strip():
        assert time.time() < deadline
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(30)
    second = start("--stage", "15")
    _, told = second.communicate(timeout=30)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert second.returncode == 2 and ", or by a job of it: " in told


def test_another_host_is_believed(start, tmp_path):
    (tmp_path / "pruned").mkdir()
    (tmp_path / "pruned" / ".lock").write_text("42 elsewhere\n")
    process = start("--stage", "15")
    _, told = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "in use by process 42 on elsewhere" in told and "remove pruned/.lock" in told
    (tmp_path / "pruned" / ".lock").unlink()
    (tmp_path / "go15").touch()
    assert start("--stage", "15").wait(30) == 0


def test_a_directory_that_cannot_be_made(start, tmp_path):
    (tmp_path / "pruned").write_text("a file")
    process = start("--stage", "15")
    _, told = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "run.sh: error: pruned cannot be written: give another directory" in told
