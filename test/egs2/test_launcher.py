# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import functools
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet_prune import progress
from espnet_prune.jobs import logs

ROOT = Path(__file__).parents[2]
RUN = ("-m", "espnet_prune.bin.run")

# plays a cluster: runs the tasks of the array one after another, without PYTHONPATH
SBATCH = r"""
import os, re, subprocess, sys
open("sbatch.txt", "w").write("\n".join(sys.argv[1:]))
first, last = re.search(r"--array=(\d+)-(\d+)", " ".join(sys.argv)).groups()
worst = 0
for task in range(int(first), int(last) + 1):
    env = {"PATH": os.environ["PATH"], "SLURM_ARRAY_TASK_ID": str(task)}
    worst = max(worst, subprocess.run(["bash", sys.argv[-1]], env=env).returncode)
sys.exit(worst)
"""


@pytest.fixture(params=["local", "slurm"])
def launch(request, tmp_path):
    """Call the launcher in an empty directory, on either backend."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f"#!{sys.executable}\n{SBATCH}")
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    path = f"{sbatch.parent}:{os.environ['PATH']}"
    env = dict(os.environ, PATH=path, PYTHONPATH=str(ROOT))

    def call(*words):
        return subprocess.run(
            [sys.executable, *RUN, "--backend", request.param, *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )

    call.folder = tmp_path
    return call


def test_an_array_of_jobs(launch):
    done = launch("--num-threads", "2", "JOB=1:3", "log/x.JOB.log", "echo", "job JOB")
    assert done.returncode == 0, done.stderr
    for n in (1, 2, 3):
        lines = (launch.folder / f"log/x.{n}.log").read_text().splitlines()
        assert lines[0] == f'# echo "job {n}"'
        assert f"job {n}" in lines
        assert lines[-2].startswith("# Accounting: time=")
        assert lines[-2].endswith("threads=2")
        assert lines[-1].startswith("# Ended (code 0) at ")


def test_job_is_the_number_only_where_a_recipe_means_it(launch):
    home = launch.folder / "JOB" / "MYJOBS"
    home.mkdir(parents=True)
    for name in ("JOB.yaml", "a JOB.txt"):
        (home / name).write_text("hello\n")
    command = ["cat", home / "JOB.yaml", home / "a JOB.txt", "&&", "echo"]
    command += ["new/JOB/x.JOB,speech", f"--dir={home}/out.JOB", "JOBS"]
    done = launch("JOB=1:2", "log/x.JOB.log", *map(str, command))
    assert done.returncode == 0, done.stderr
    for n in (1, 2):
        lines = (launch.folder / f"log/x.{n}.log").read_text().splitlines()
        assert lines.count("hello") == 2
        last = f"new/{n}/x.{n},speech --dir={home}/out.{n} JOBS"
        assert last in lines


def test_words_without_blanks_are_shell_syntax(launch):
    done = launch("x.log", "echo", "a b", "|", "tr", "a-z", "A-Z", ">", "out.txt")
    assert done.returncode == 0
    assert (launch.folder / "out.txt").read_text() == "A B\n"


def test_failed_jobs_are_named(launch):
    done = launch("JOB=1:3", "x.JOB.log", "test", "JOB", "-ne", "2")
    assert done.returncode == 1
    assert "1 / 3 failed, log is in x.*.log (first: x.2.log)" in done.stderr
    assert "# Ended (code 1)" in (launch.folder / "x.2.log").read_text()


def test_user_errors_pass_through(launch):
    line = "espnet_prune: error: conf.yaml: unknown key"
    done = launch("x.log", "echo", line, ">&2", ";", "exit", "2")
    assert (done.returncode, done.stderr) == (2, line + "\n")


def test_progress_is_shown(launch):
    done = launch("--show", "epoch", "x.log", "echo", "1epoch results")
    assert done.stdout == "1epoch results\n"


def test_lines_of_a_log_are_counted(tmp_path, monkeypatch, capsys):
    soon = functools.partial(progress.progress, seconds=0.0)
    monkeypatch.setattr(progress, "progress", soon)
    watcher = logs.Watcher([tmp_path / "x.log"], count="best [0-9]", total="6")
    for text in ("# best 0\nbest 1\n", "best 2\nworst 3\nbest", " 4\n"):
        with open(tmp_path / "x.log", "a") as stream:
            stream.write(text)
        watcher.poll()
    lines = capsys.readouterr().out.splitlines()
    told = "so far: 3/6 done, about 00:00 left"
    assert lines[-1] == told and "0/6" in lines[0] and len(lines) == 4


def test_the_launcher_needs_no_package(tmp_path):
    """It may be called by another Python than the jobs are."""
    words = ["--count", "best", "--total", "2", str(tmp_path / "x.log")]
    words += ["echo", "best", ";", "sleep", "1"]
    code = "from espnet_prune.bin.run import main; main()"
    command = [sys.executable, "-S", "-c", code, *words]
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("launch", ["slurm"], indirect=True)
def test_slurm_gets_its_options(launch):
    (launch.folder / "path.sh").write_text("export WHERE=job\n")
    (launch.folder / "slurm.conf").write_text(
        "command sbatch --export=PATH\noption mem=* --mem-per-cpu $0\n"
        "default gpu=0\noption gpu=0 -p cpu\noption gpu=* -p gpu --gres=gpu:$0\n"
    )
    words = ("--mem", "4G", "--max_jobs_run", "2", "--config", "slurm.conf")
    done = launch(*words, "JOB=1:4", "x.JOB.log", "echo", "$WHERE")
    assert done.returncode == 0, done.stderr
    given = (launch.folder / "sbatch.txt").read_text().splitlines()
    assert given[:5] == ["--export=PATH", "-p", "cpu", "--mem-per-cpu", "4G"]
    assert "--wait" in given and "--array=1-4%2" in given
    assert "\njob\n" in (launch.folder / "x.4.log").read_text()  # path.sh was read


def call_local(folder, *words):
    command = [sys.executable, *RUN, *words]
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_jobs_run_side_by_side_up_to_the_limit(tmp_path):
    start = time.time()
    words = ("JOB=1:4", "x.JOB.log", "sleep", "0.5")
    assert call_local(tmp_path, "--max-jobs-run", "4", *words).returncode == 0
    assert time.time() - start < 1.7
    start = time.time()
    assert call_local(tmp_path, "--max-jobs-run", "1", *words).returncode == 0
    assert time.time() - start >= 2.0


def test_logs_are_kept(tmp_path):
    for word in ("one", "two", "three", "four"):
        call_local(tmp_path, "--keep_logs", "2", "x.log", "echo", word)
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["x.log", "x.log.1", "x.log.2"]
    assert "\ntwo\n" in (tmp_path / "x.log.2").read_text()


@pytest.mark.parametrize(
    "words, message",
    [
        (("--memm", "1", "x.log", "true"), "unknown option '--memm'"),
        (("JOB=3:1", "x.JOB.log", "true"), "bad job range"),
        (("JOB=1:2", "x.log", "true"), "must contain JOB"),
        (("x.log",), "a log file and a command are needed"),
        (("--backend", "pbs", "x.log", "true"), "unknown backend 'pbs'"),
        (("--gpu", "one", "x.log", "true"), "is no number"),
        (("--num_nodes", "2", "x.log", "true"), "--backend slurm"),
        (("--config", "no.conf", "x.log", "true"), "no.conf: no such file"),
    ],
)
def test_bad_command_lines(tmp_path, words, message):
    done = call_local(tmp_path, *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_terminated_launcher_ends_its_jobs(tmp_path):
    process = subprocess.Popen(
        [sys.executable, *RUN, "x.log", "echo", "$$", ">", "pid", ";", "sleep", "60"],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
    )
    deadline = time.time() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.time() < deadline
        time.sleep(0.05)
    job = int((tmp_path / "pid").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    while time.time() < deadline:
        try:
            os.kill(job, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the job still runs")
