# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run the jobs of a comparison, and write a row's JSON as soon as it is finished."""

import logging
import shlex
from typing import Dict, List, Optional, Sequence

from espnet_prune.jobs.side_by_side import run_side_by_side
from espnet_prune.report.compare import depth, rows
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Job, Plan, Point
from espnet_prune.utils import write_json


def words_of(c: Comparison, job: Job, common: Sequence[str]) -> List[str]:
    """The command line of a job."""
    if c.dense_exp:
        model = c.inference_asr_model
        own = ["--inference_asr_model", model] if model else []
        own += ["--inference_config", c.inference_config]
        return [c.run, *common, *own, *job.options]
    given = {
        "nj": 1,
        "inference_nj": 1,
        "asr_stats_dir": c.exp / "stats",
        "inference_config": c.inference_config,
        "inference_asr_model": c.model,
        "test_sets": " ".join(c.test_sets),
        **c.options,
    }
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    return [c.run, *words, *common, *job.options]


class Runner:
    """One call of the comparison: what is left to do, and who writes its results."""

    def __init__(
        self,
        c: Comparison,
        plan: Plan,
        command: str,
        common: Sequence[str] = (),
        frames: Optional[int] = None,
    ) -> None:
        self.c, self.plan, self.command = c, plan, command
        self.common, self.frames = common, frames

    def inputs(self, point: Point) -> str:
        """A hash of all that a point was made from."""
        return " ".join(self.plan.digest(name)[:16] for name in point.needs)

    def pending(self) -> List[Point]:
        """Points whose JSON is not there, or was made from something else."""
        points = self.plan.points
        return [p for p in points if not rows.is_finished(self.c, p, self.inputs(p))]

    def told(self) -> str:
        """What would run, for --dry_run."""
        left = self.pending()
        lines = [f"{len(self.plan.points) - len(left)} rows are finished"]
        for job in self.plan.needed(left):
            lines.append(shlex.join(words_of(self.c, job, self.common)))
        return "\n".join(lines)

    def write_rows(self, points: Sequence[Point]) -> None:
        """Decode where that is ours to do, and write the JSON of what has results."""
        if self.c.table:
            by_model: Dict[str, List[Point]] = {}
            for point in points:
                if not rows.where_decoded(self.c, point).is_dir():
                    by_model.setdefault(str(point.exp), []).append(point)
            for group in by_model.values():
                depth.decode(self.c, group)
        for point in points:
            made = self.inputs(point)
            row = rows.describe(self.c, point, made, self.command, self.frames)
            if row is None:
                logging.warning("%s: no results", point.name)
            else:
                write_json(row, rows.path_of(self.c, point))

    def run(self, max_jobs: int) -> List[Job]:
        """Run what is left; returns the jobs that failed or could not start."""
        left = self.pending()
        jobs = self.plan.needed(left)
        names = {job.name for job in jobs}

        def command(job: Job) -> List[str]:
            if job.late:
                job.late()
            return words_of(self.c, job, self.common)

        def ready(job: Job, done: Sequence[Job]) -> bool:
            return set(job.needs) & names <= {other.name for other in done}

        def ended(job: Job, done: Sequence[Job]) -> None:
            good = {other.name for other in done}
            own = [p for p in left if job.name in p.needs and good.issuperset(p.needs)]
            self.write_rows(own)

        logs = self.c.exp / "log"
        return run_side_by_side(jobs, command, ready, max_jobs, logs, ended)
