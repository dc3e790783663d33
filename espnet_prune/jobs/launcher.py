# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command line of Kaldi's run.pl: an array of jobs, here or by slurm."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from espnet_prune.jobs.local import run_local
from espnet_prune.jobs.logs import Watcher, error_line, rotate
from espnet_prune.jobs.slurm import on_nodes, run_slurm

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


def launch(argv: List[str]) -> int:
    """Run the command line `argv`; returns the exit code."""
    try:
        options, jobs, log, command = parse(argv)
        backend = options.pop("backend", "local")
        if backend not in ("local", "slurm"):
            raise UsageError(f"unknown backend '{backend}' (local or slurm)")
        shown = ("show", "count", "total")
        watched = {k: options.pop(k) for k in shown if options.get(k)}
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
    keep = int(options.pop("keep_logs", 0))
    numbers = [""] if jobs is None else [str(n) for n in jobs]
    commands = [[numbered(w, n) for w in command] if n else command for n in numbers]
    lines = [shell_line(words) for words in commands]
    logs = [Path(numbered(log, n) if n else log) for n in numbers]
    for path in logs:
        path.parent.mkdir(parents=True, exist_ok=True)
        rotate(path, keep)
    watcher = Watcher(logs, **watched)
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
