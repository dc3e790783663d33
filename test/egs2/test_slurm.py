# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The launcher against a real Slurm; skipped where it is not installed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test.egs2.slurm import private_slurm

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with private_slurm(tmp_path_factory.mktemp("slurm") / "private") as env:
        yield env


@pytest.fixture
def start(slurm, tmp_path):
    """Start the launcher in an empty directory with a path.sh."""
    (tmp_path / "path.sh").write_text("export FROM_PATH_SH=here\n")

    def call(*words):
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "espnet_prune.bin.run",
                "--backend",
                "slurm",
                *words,
            ],
            cwd=tmp_path,
            env=dict(slurm, FROM_CALLER="here", PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def queue(slurm):
    asked = ["squeue", "-h", "-o", "%i %T"]
    return subprocess.run(asked, env=slurm, capture_output=True, text=True).stdout


def wait_for(condition, seconds=120):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline
        time.sleep(0.2)


def test_an_array_with_its_logs_and_environment(start, tmp_path):
    line = ["echo", "job", "JOB", "[$FROM_PATH_SH]", "[$FROM_CALLER]"]
    process = start("--name", "few", "JOB=1:3", "log/x.JOB.log", *line)
    out, err = process.communicate(timeout=280)
    assert (process.returncode, err) == (0, "")
    for n in (1, 2, 3):
        lines = (tmp_path / f"log/x.{n}.log").read_text().splitlines()
        assert f"job {n} [here] []" in lines
        assert lines[1].startswith("# Running on ")
        assert lines[-1].startswith("# Ended (code 0) at ")


def test_exit_codes(start, tmp_path):
    words = ["bash", "-c", "exit $((JOB - 1))"]
    process = start("--max_jobs_run", "2", "JOB=1:3", "x.JOB.log", *words)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 1
    assert "2 / 3 failed, log is in x.*.log (first: x.2.log)" in err
    assert "# Ended (code 2)" in (tmp_path / "x.3.log").read_text()
    told = "espnet_prune: error: conf.yaml: unknown key"
    process = start("y.log", "echo", told, ">&2", ";", "exit", "2")
    assert process.communicate(timeout=280)[1] == told + "\n"
    assert process.returncode == 2


def test_an_impossible_request_fails_at_once(start):
    process = start("--gpu", "7", "x.log", "true")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "sbatch: error" in err and "x.log" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_launcher_cancels_its_jobs(slurm, start, tmp_path, number):
    # more than fit at once: some of them still wait in the queue
    process = start("JOB=1:6", "x.JOB.log", "echo", "began", ";", "sleep", "300")
    wait_for(lambda: "RUNNING" in queue(slurm) and "PENDING" in queue(slurm))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "was cancelled" in err
    wait_for(lambda: not queue(slurm))


def test_a_cancelled_job_is_a_failed_job(slurm, start):
    process = start("x.log", "sleep", "300")
    wait_for(lambda: "RUNNING" in queue(slurm))
    subprocess.check_call(["scancel", queue(slurm).split()[0].split("_")[0]], env=slurm)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 1 and "job failed" in err


def test_a_job_submits_jobs(start, tmp_path):
    (tmp_path / "path.sh").write_text(f"export PYTHONPATH={ROOT}\n")
    inner = ["python3", "-m", "espnet_prune.bin.run", "--backend", "slurm"]
    inner += ["JOB=1:2", "in.JOB.log"]
    process = start("out.log", *inner, "echo", "in", "JOB")
    process.communicate(timeout=280)
    assert process.returncode == 0, (tmp_path / "out.log").read_text()
    assert "\nin 2\n" in (tmp_path / "in.2.log").read_text()


def test_one_training_on_two_nodes(start, tmp_path):
    (tmp_path / "rank.py").write_text(
        "import os, sys, time\n"
        "rank = os.environ['SLURM_PROCID']\n"
        "print('rank', rank, os.environ['SLURM_STEP_NUM_NODES'], *sys.argv[2:])\n"
        "if rank == sys.argv[1]:\n"
        "    print('train.py: error: no such file', file=sys.stderr, flush=True)\n"
        "    time.sleep(1)  # srun may lose the last line of a task that ends at once\n"
        "    sys.exit(1)\n"
        "if sys.argv[1] != 'none': time.sleep(300)\n"
    )
    process = start("--num_nodes", "2", "x.log", "python3", "rank.py", "none")
    process.communicate(timeout=280)
    log = (tmp_path / "x.log").read_text()
    assert process.returncode == 0, log
    for rank in (0, 1):
        assert f"\nrank {rank} 2 --dist_launcher slurm --dist_init_method file:/" in log
    assert "--dist_backend gloo" in log
    began = time.time()
    process = start("--num_nodes", "2", "y.log", "python3", "rank.py", "1")
    _, err = process.communicate(timeout=280)
    assert process.returncode == 2 and time.time() - began < 250  # it was killed
    assert err == "train.py: error: no such file\n"
