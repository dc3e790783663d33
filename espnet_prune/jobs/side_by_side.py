# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run the jobs of a comparison side by side; a failed one does not stop the others."""

import concurrent.futures
import logging
import subprocess
from pathlib import Path
from typing import Callable, Dict, List, Protocol, Sequence, TypeVar

from espnet_prune.progress import progress
from espnet_prune.utils import UserError


class Named(Protocol):
    """A job, as far as this file is concerned."""

    @property
    def name(self) -> str:
        """Name for people and for the log file."""


J = TypeVar("J", bound=Named)


def run_side_by_side(
    jobs: Sequence[J],
    command: Callable[[J], Sequence[str]],
    ready: Callable[[J, Sequence[J]], bool],
    max_jobs: int,
    logs: Path,
) -> List[J]:
    """Run every job once what it depends on is done.

    Args:
        jobs: In the order of their importance.
        command: The command line of a job; it has gone well if it ends with 0.
        ready: Whether a job can start, given the jobs that have gone well.
        max_jobs: At most so many at a time.
        logs: Folder of NAME.log, to which the jobs' output is appended.

    Returns:
        The jobs that failed, or that could not start.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, failed, done = list(jobs), [], []
    running: Dict[concurrent.futures.Future, J] = {}
    bar = progress(len(jobs), "all", "jobs", logging.info, 0.1)

    def run(job: J) -> bool:
        with open(logs / f"{job.name}.log", "a", encoding="utf-8") as log:
            return subprocess.call(list(command(job)), stdout=log, stderr=log) == 0

    with concurrent.futures.ThreadPoolExecutor(max_jobs) as pool:
        while waiting or running:
            for job in list(waiting):
                if len(running) >= max_jobs:
                    break
                if ready(job, done):
                    waiting.remove(job)
                    logging.info("%s: started", job.name)
                    running[pool.submit(run, job)] = job
            if not running:  # what is left waits for a job that failed
                return failed + waiting
            ended, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                job = running.pop(future)
                (done if future.result() else failed).append(job)
                end = (
                    "done" if future.result() else f"FAILED, see {logs}/{job.name}.log"
                )
                logging.info("%s: %s", job.name, end)
                bar.update()
    return failed


def require_all(failed: Sequence[Named], logs: Path) -> None:
    """Tell which jobs did not finish.

    Raises:
        UserError: There are some.
    """
    if failed:
        raise UserError(
            f"{len(failed)} jobs did not finish: {', '.join(j.name for j in failed)}; "
            f"their logs are in {logs}"
        )
