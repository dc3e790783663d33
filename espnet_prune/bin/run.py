# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Launch one job or an array of jobs, with the command line of Kaldi's run.pl.

    python -m espnet_prune.bin.run [options] [JOB=1:N] LOG COMMAND [ARG ...]

`JOB` is replaced by the job's number in LOG and COMMAND, where it is not a part of
a longer word or the name of something that is there. Every job's output goes
to its LOG, between a header (the command and the time) and a footer (the exit code
and the elapsed time). The exit code is 0 if every job ended with 0, otherwise 1; it is
2 if a job ended with 2 and one line `NAME: error: ...`, which is then printed.

Options of either backend:
    --backend local|slurm  where the jobs run (default: local)
    --max_jobs_run N       at most N of them at a time (default: the CPU cores;
                           for slurm: no limit)
    --num_threads N --gpu N --mem M --time T --name NAME
                           what slurm is asked for; the local backend ignores them
    --num_nodes N          slurm only: run the command, a training, on N nodes at once:
                           by srun, with ESPnet's options for distributed training
    --config FILE          slurm only: how these become sbatch options, in the form
                           of Kaldi's slurm.conf
    --show REGEX           print the log lines that match, while the jobs run
    --count REGEX --total N
                           count the matching lines; print N done and an ETA
    --keep_logs N          keep the last N logs of the same name as LOG.1, LOG.2, ...
Option names may be written with '-' or '_'. It needs nothing but Python's
standard library, and the jobs run by `bash -c` in the current directory.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from espnet_prune.slurm import on_nodes, run_slurm

VALUED = (
    "backend max_jobs_run num_threads gpu mem time name config show count total "
    "keep_logs num_nodes"
)


class UsageError(ValueError):
    """The command line cannot be understood."""


def parse(argv: List[str]) -> Tuple[Dict[str, str], Optional[range], str, List[str]]:
    """Split a command line into (options, job numbers or None, log, command).

    Raises:
        UsageError: an unknown option, a bad job range, or no log or command.
    """
    options: Dict[str, str] = {}
    jobs, rest = None, list(argv)
    while rest and (rest[0].startswith("-") or re.match(r"JOB=", rest[0])):
        word = rest.pop(0)
        if word.startswith("JOB="):
            match = re.fullmatch(r"JOB=(\d+)(?::(\d+))?", word)
            if not match:
                raise UsageError(f"bad job range '{word}', it should be JOB=1:N")
            first, last = int(match[1]), int(match[2] or match[1])
            if not 1 <= first <= last:
                raise UsageError(f"bad job range '{word}': 1 <= first <= last")
            jobs = range(first, last + 1)
            continue
        name = word.lstrip("-").replace("-", "_")
        if name not in VALUED.split():
            raise UsageError(f"unknown option '{word}'")
        if not rest:
            raise UsageError(f"option '{word}' needs a value")
        options[name] = rest.pop(0)
    if len(rest) < 2:
        raise UsageError("a log file and a command are needed (see --help)")
    log, command = rest[0], rest[1:]
    if jobs is not None and len(jobs) > 1 and numbered(log, "1") == log:
        raise UsageError(f"the log file '{log}' must contain JOB")
    return options, jobs, log, command


def numbered(word: str, number: str) -> str:
    """Put a job's number for JOB in a word, but not in a path that is the user's.

    JOBS or MYJOB is another word, and a folder or a file that is really called
    so (/home/JOB/exp) is not what a recipe means by JOB.
    """
    if word == "JOB":
        return number
    starts = [0, *(match.end() for match in re.finditer(r"[\s=,:'\"]", word))]

    def put(match: "re.Match[str]") -> str:
        end = re.search(r"/|$|[\s,:;'\"]", word[match.end() :])
        path_end = match.end() + (end.start() if end else 0)
        before = (word[start:path_end] for start in starts if start <= match.start())
        there = any("/" in path and os.path.exists(path) for path in before)
        return "JOB" if there else number

    return re.sub(r"(?<![A-Za-z0-9])JOB(?![A-Za-z0-9])", put, word)


def shell_line(command: List[str]) -> str:
    """Join a command as run.pl does: words without blanks stay shell syntax."""
    words = []
    for word in command:
        if word and not re.search(r"\s", word):
            words.append(word)
        elif '"' in word or "$" in word or "`" in word:
            words.append(shlex.quote(word))
        else:
            words.append(f'"{word}"')
    return " ".join(words)


def footer(code: int, start: float, threads: str) -> str:
    """The last lines of a log, those that run.pl writes."""
    seconds = int(time.time() - start)
    return (
        f"# Accounting: time={seconds} threads={threads}\n"
        f"# Ended (code {code}) at {time.ctime()}, elapsed time {seconds} seconds\n"
    )


def rotate(log: Path, keep: int) -> None:
    """Rename LOG to LOG.1, LOG.1 to LOG.2, and so on; at most `keep` remain."""
    for i in range(keep, 0, -1):
        older = log.with_name(f"{log.name}.{i - 1}") if i > 1 else log
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{i}"))


def error_line(log: Path) -> str:
    """The last line of a log by which a command has explained its exit code 2."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    found = [line for line in lines if re.match(r"(?!srun|slurm)[\w.]+: error: ", line)]
    return found[-1] if found else ""


class Watcher:
    """Follows the logs of running jobs and reports what was asked for."""

    def __init__(self, options: Dict[str, str], logs: List[Path]) -> None:
        self.show = re.compile(options["show"]) if "show" in options else None
        self.count = re.compile(options["count"]) if "count" in options else None
        self.total = int(options.get("total", 0))
        self.positions = {log: 0 for log in logs}
        self.done, self.told = 0, time.time()
        self.first = 0.0  # when the first line was counted; loading comes before

    def poll(self) -> None:
        """Read what the logs have got since the last call."""
        if self.show is None and self.count is None:
            return
        for log, position in self.positions.items():
            try:
                with open(log, "rb") as f:
                    f.seek(position)
                    new = f.read()
            except OSError:
                continue
            new = new[: new.rfind(b"\n") + 1]
            self.positions[log] += len(new)
            for line in new.decode("utf-8", "replace").splitlines():
                if line.startswith("#"):
                    continue
                if self.show is not None and self.show.search(line):
                    print(line, flush=True)
                if self.count is not None and self.count.search(line):
                    self.done += 1
                    self.first = self.first or time.time()
        if self.done > 1 and time.time() - max(self.told, self.first) >= 10:
            self.told = time.time()
            left = (self.total - self.done) * (self.told - self.first) / self.done
            print(
                f"{self.done}/{self.total} done, about {max(left, 0):.0f} s left",
                flush=True,
            )


def run_local(
    lines: List[str],
    logs: List[Path],
    options: Dict[str, str],
    poll: Callable[[], None],
) -> List[int]:
    """Run shell lines on this machine, some at a time; returns their exit codes."""
    limit = int(options.get("max_jobs_run") or os.cpu_count() or 1)
    threads = options.get("num_threads", "1")
    codes: List[Optional[int]] = [None] * len(lines)
    running: Dict[int, Tuple[subprocess.Popen, float]] = {}
    waiting = list(range(len(lines)))

    signals: List[int] = []  # a job that is just starting is not in `running` yet

    def stop(signum, frame):
        signals.append(signum)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    polled = time.time()
    while waiting or running:
        while waiting and len(running) < limit and not signals:
            i = waiting.pop(0)
            with open(logs[i], "w") as f:
                f.write(f"# {lines[i]}\n# Started at {time.ctime()}\n#\n")
            with open(logs[i], "a") as f:
                process = subprocess.Popen(
                    ["bash", "-c", lines[i]],
                    stdin=subprocess.DEVNULL,
                    stdout=f,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    close_fds=False,  # it holds the lock of stages.sh, if we are killed
                )
            running[i] = (process, time.time())
        time.sleep(0.05)
        if signals:
            for process, _ in running.values():
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except OSError:
                    pass
            sys.exit(128 + signals[0])
        for i, (process, start) in list(running.items()):
            code = process.poll()
            if code is not None:
                codes[i] = code if code >= 0 else 128 - code
                with open(logs[i], "a") as f:
                    f.write(footer(codes[i], start, threads))
                del running[i]
        if time.time() - polled > 0.5:
            polled = time.time()
            poll()
    poll()
    return [1 if code is None else code for code in codes]


def launch(argv: List[str]) -> int:
    """Run the command line `argv`; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if argv else 2
    try:
        options, jobs, log, command = parse(argv)
        backend = options.pop("backend", "local")
        if backend not in ("local", "slurm"):
            raise UsageError(f"unknown backend '{backend}' (local or slurm)")
        watcher_options = {k: options.pop(k, None) for k in ("show", "count", "total")}
        for name in ("max_jobs_run", "num_threads", "gpu", "keep_logs", "num_nodes"):
            if not options.get(name, "1").isdigit():
                raise UsageError(f"--{name} '{options[name]}' is no number")
        if not Path(options.get("config", __file__)).is_file():
            raise UsageError(f"--config {options['config']}: no such file")
        nodes = int(options.get("num_nodes", 1))
        if nodes > 1 and (backend != "slurm" or jobs is not None):
            raise UsageError("--num_nodes is for one training and --backend slurm")
    except UsageError as e:
        print(f"run.py: error: {e}", file=sys.stderr)
        return 2
    if nodes > 1:
        command = on_nodes(command, Path(log), int(options.get("gpu", 0)))
    numbers = [""] if jobs is None else [str(n) for n in jobs]
    commands = [[numbered(w, n) for w in command] if n else command for n in numbers]
    lines = [shell_line(words) for words in commands]
    logs = [Path(numbered(log, n) if n else log) for n in numbers]
    for path in logs:
        path.parent.mkdir(parents=True, exist_ok=True)
        rotate(path, int(options.get("keep_logs", 0)))
    options.pop("keep_logs", None)
    watcher = Watcher({k: v for k, v in watcher_options.items() if v}, logs)
    run = run_local if backend == "local" else run_slurm
    codes = run(lines, logs, options, watcher.poll)
    failed = [i for i, code in enumerate(codes) if code]
    # of several nodes the others were killed, which is the code that srun gives
    told = failed and (codes[failed[0]] == 2 or nodes > 1)
    if told and error_line(logs[failed[0]]):
        print(error_line(logs[failed[0]]), file=sys.stderr)
        return 2
    if failed and len(codes) == 1:
        print(f"run.py: job failed, log is in {logs[0]}", file=sys.stderr)
    elif failed:
        print(
            f"run.py: {len(failed)} / {len(codes)} failed, log is in "
            f"{numbered(log, '*')} (first: {logs[failed[0]]})",
            file=sys.stderr,
        )
    return 1 if failed else 0


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    sys.exit(launch(sys.argv[1:] if cmd is None else cmd))


if __name__ == "__main__":
    main()
