# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The launcher while Slurm's controller is away, with stand-ins for its programs."""

import signal
import sys
import time

import pytest

from espnet_prune.jobs import slurm

# --wait loses the controller at once; the tasks run on
SBATCH = r"""
import os, re, subprocess, sys
open("submitted", "a").write("x")
if os.path.exists("refuse") and len(open("submitted").read()) < 3:
    sys.exit("sbatch: error: " + open("refuse").read())
number = int(re.search(r"--array=1-(\d+)", " ".join(sys.argv))[1])
print("4711;cluster", flush=True)
for task in range(1, number + 1):
    env = {"PATH": os.environ["PATH"], "SLURM_ARRAY_TASK_ID": str(task)}
    subprocess.Popen(["bash", sys.argv[-1]], env=env, stdout=subprocess.DEVNULL)
sys.exit("sbatch: error: Unable to contact slurm controller (connect failure)")
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that runs two jobs; `squeue` is what that program does."""
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def program(name, text):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    program("sbatch", f"#!{sys.executable}\n{SBATCH}")
    program("scancel", '#!/bin/sh\necho "$@" > cancelled\n')
    for name, value in (("PAUSE", 0.1), ("PATIENCE", 3.0)):
        monkeypatch.setattr(slurm, name, value)
    monkeypatch.setattr(slurm, "GRACE", {True: 0.5, False: 0.5})

    def run(line, squeue):
        program("squeue", f"#!/bin/sh\n{squeue}\n")
        logs = [tmp_path / f"x.{n}.log" for n in (1, 2)]
        return slurm.run_slurm([line, "true"], logs, {}, lambda: None)

    yield run
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers):
        signal.signal(number, handler)


AWAY = "echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1"


@pytest.mark.parametrize("squeue", ["echo 4711_1", AWAY])
def test_the_jobs_are_waited_for(start, tmp_path, squeue):
    assert start("sleep 1.8; echo done > out", squeue) == [0, 0]
    assert (tmp_path / "out").read_text() == "done\n"
    assert not (tmp_path / "cancelled").exists()


def test_a_job_in_the_queue_is_waited_for_longer_than_patience(start, monkeypatch):
    monkeypatch.setattr(slurm, "PATIENCE", 1.0)
    assert start("sleep 2; exit 2", "echo 4711_1") == [2, 0]


@pytest.mark.parametrize(
    "squeue", ["true", "echo Invalid job id specified >&2; exit 1"]
)
def test_a_job_that_is_gone_has_failed(start, tmp_path, squeue):
    began = time.time()
    assert start("sleep 5", squeue) == [1, 0]
    assert time.time() - began < 4 and not (tmp_path / "cancelled").exists()


def test_what_is_given_up_is_cancelled(start, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(slurm, "PATIENCE", 1.0)
    assert start("sleep 5", AWAY) == [1, 0]
    assert (tmp_path / "cancelled").read_text() == "4711\n"
    told = capsys.readouterr().err
    assert "said nothing of job 4711" in told and "4711 was cancelled" in told
    (tmp_path / "bin/scancel").write_text("#!/bin/sh\nexit 1\n")
    assert start("sleep 5", AWAY) == [1, 0]
    assert "4711 could not be cancelled and may still run" in capsys.readouterr().err


def test_a_submission_is_repeated_only_where_nothing_was_submitted(
    start, tmp_path, capsys
):
    (tmp_path / "refuse").write_text("Unable to contact slurm controller (x)")
    assert start("true", "echo 4711_1") == [0, 0]
    assert (tmp_path / "submitted").read_text() == "xxx"
    assert capsys.readouterr().err.count("controller is away, waiting") == 2
    (tmp_path / "submitted").unlink()
    (tmp_path / "refuse").write_text("Socket timed out on send/recv operation")
    assert start("true", "echo 4711_1") == [1, 1]
    assert (tmp_path / "submitted").read_text() == "x"
    assert "Socket timed out" in capsys.readouterr().err


def test_exit_codes_are_those_of_this_run(start, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm.time, "time", lambda: 1e9)  # in the same second
    assert start("true", "echo 4711_1") == [0, 0]
    (tmp_path / "submitted").unlink()
    (tmp_path / "refuse").write_text("Socket timed out on send/recv operation")
    assert start("true", "echo 4711_1") == [1, 1]
