# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run the jobs of a comparison side by side; a failed one does not stop the others."""

import concurrent.futures
import logging
import math
import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

from espnet_prune.utils import atomic_write

J = TypeVar("J", bound=Any)  # has a name, and the names of what it needs before


def _note(logs: Path, name: str) -> Path:
    return logs / f"{name}.minutes"


def minutes_of(logs: Path, name: str) -> Optional[float]:
    """Core minutes that a job has taken in all calls, None where one was cut short."""
    path = _note(logs, name)
    minutes = float(path.read_text()) if path.is_file() else math.nan
    return None if math.isnan(minutes) else round(minutes, 2)


def _call(command: Sequence[str], logs: Path, name: str) -> bool:
    """Run a command, and add what it takes of the cores to NAME.minutes."""
    path = _note(logs, name)
    before = float(path.read_text()) if path.is_file() else 0.0
    with atomic_write(path) as stream:
        stream.write("nan")  # until it has ended
    with open(logs / f"{name}.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(list(command), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if os.environ.get("cmd_backend", "local") == "local":  # else it is elsewhere
        with atomic_write(path) as stream:
            stream.write(str(before + (usage.ru_utime + usage.ru_stime) / 60))
    return process.returncode == 0


def run_side_by_side(
    jobs: Sequence[J],
    command: Callable[[J], Sequence[str]],
    max_jobs: int,
    logs: Path,
    finished: Callable[[J, Sequence[J]], None],
    minutes_left: Callable[[Sequence[J]], Optional[float]],
) -> List[J]:
    """Run every job once what it depends on is done.

    Args:
        jobs: In the order of their importance.
        command: The command line of a job; it has gone well if it ends with 0.
        max_jobs: At most so many at a time.
        logs: Folder of NAME.log, to which the jobs' output is appended, and of
            NAME.minutes.
        finished: Called with each job that has gone well, and all of these.
        minutes_left: Core minutes that jobs will take, None where nobody knows.

    Returns:
        The jobs that failed, or that could not start.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, failed, done = list(jobs), [], []
    running: Dict[concurrent.futures.Future, J] = {}

    def tell() -> None:
        open_jobs = [*running.values(), *waiting]
        minutes = minutes_left(open_jobs)
        left = "" if minutes is None else f", about {minutes:.0f} core minutes left"
        ended = len(jobs) - len(open_jobs)
        logging.info(f"all: {ended}/{len(jobs)} jobs{left}")

    def run(job: J) -> bool:
        return _call(command(job), logs, job.name)

    tell()
    with concurrent.futures.ThreadPoolExecutor(max_jobs) as pool:
        while waiting or running:
            for job in list(waiting):
                if len(running) >= max_jobs:
                    break
                if {other.name for other in done}.issuperset(job.needs):
                    waiting.remove(job)
                    logging.info(f"{job.name}: started, see {logs}/{job.name}.log")
                    running[pool.submit(run, job)] = job
            if not running:  # what is left waits for a job that failed
                return failed + waiting
            ended, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                job = running.pop(future)
                (done if future.result() else failed).append(job)
                if future.result():
                    finished(job, done)
                end = (
                    "done" if future.result() else f"FAILED, see {logs}/{job.name}.log"
                )
                logging.info("%s: %s", job.name, end)
                tell()
    return failed
