# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Evaluate many sets of blocks in several jobs, through the recipe's launcher."""

import logging
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List, Sequence

from espnet_prune.select.layers.coarse import Removed
from espnet_prune.select.layers.tried import Tried
from espnet_prune.utils import UserError, atomic_write


class FanOut:
    """Splits sets over jobs of `espnet_prune.bin.evaluate_blocks`.

    Args:
        launcher: Command with run.pl's command line, as espnet_prune.bin.run.
        jobs: Number of jobs.
        folder: Where lists, results and logs go.
        options: Options of evaluate_blocks that say which model and data.

    Raises:
        UserError: A job failed.
    """

    def __init__(
        self, launcher: str, jobs: int, folder: Path, options: Sequence[str]
    ) -> None:
        self.launcher, self.jobs, self.folder = shlex.split(launcher), jobs, folder
        self.options = list(options)
        self.calls = 0

    def __call__(self, sets: Sequence[Removed], tried: Tried) -> None:
        """Evaluate `sets`, which share prefixes with their neighbours, into `tried`."""
        self.calls += 1
        jobs = min(self.jobs, len(sets))
        name = f"evaluate.{self.calls}"
        results: List[Path] = []
        for job in range(jobs):
            part = sets[len(sets) * job // jobs : len(sets) * (job + 1) // jobs]
            with atomic_write(self.folder / f"{name}.{job + 1}.txt") as stream:
                for removed in part:
                    stream.write(",".join(map(str, removed)) + "\n")
            results.append(self.folder / f"{name}.{job + 1}.tsv")
        logging.info(f"{len(sets)} sets are evaluated in {jobs} jobs")
        command = [
            *self.launcher,
            f"JOB=1:{jobs}",
            str(self.folder / f"{name}.JOB.log"),
        ]
        command += [sys.executable, "-m", "espnet_prune.bin.evaluate_blocks"]
        command += ["--sets", str(self.folder / f"{name}.JOB.txt")]
        command += ["--output", str(self.folder / f"{name}.JOB.tsv"), *self.options]
        if subprocess.call(command, stdout=sys.stderr):
            raise UserError(f"a job failed; see {self.folder}/{name}.*.log")
        for path in results:
            tried.merge(path)
