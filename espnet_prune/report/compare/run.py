# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Run the jobs of a comparison, and write a row's JSON as soon as it is finished."""

import logging
import shlex
import statistics
from typing import Dict, List, Optional, Sequence

from espnet_prune.data.dense import is_trained_here
from espnet_prune.jobs.side_by_side import minutes_of, run_side_by_side
from espnet_prune.report.compare import depth, rows
from espnet_prune.report.compare.conf import Comparison
from espnet_prune.report.compare.plan import Job, Plan, Point
from espnet_prune.utils import read_json, write_json


class Runner:
    """One call of the comparison: what is left to do, and who writes its results.

    Args:
        c: The comparison.
        plan: Its jobs and points.
        command: The command line, for the record.
        common: Options of every call of the recipe.
    """

    def __init__(
        self, c: Comparison, plan: Plan, command: str, common: Sequence[str]
    ) -> None:
        self.c, self.plan, self.command, self.common = c, plan, command, common
        self.logs = c.exp / "log"

    def inputs(self, point: Point) -> str:
        """What a point was made from: hashes of its jobs, and how it was decoded."""
        made = [self.plan.digest(name)[:16] for name in point.needs]
        return " ".join([*made, self.c.decode, *self.c.test_sets])

    def pending(self) -> List[Point]:
        """Points whose JSON is not there, or was made from something else."""
        left = []
        for point in self.plan.points:
            path, made = rows.path_of(self.c, point), self.inputs(point)
            if not (path.is_file() and read_json(path).get("inputs") == made):
                left.append(point)
        return left

    def is_from_elsewhere(self, job: Job) -> bool:
        """Whether a job would train what others start from, and it is there already."""
        trained = "--asr_config" in job.options and (job.exp / "config.yaml").is_file()
        others = any(job.name in other.needs for other in self.plan.jobs.values())
        return trained and others and not is_trained_here(job.exp)

    def words(self, job: Job) -> List[str]:
        """The command line of a job."""
        c = self.c
        given = {"inference_config": c.inference_config}
        if c.inference_asr_model or not c.dense_exp:
            given["inference_asr_model"] = c.model
        if not c.dense_exp:
            given.update(nj="1", inference_nj="1", test_sets=" ".join(c.test_sets))
            given.update(asr_stats_dir=str(c.exp / "stats"))
        for key, value in c.options.items():  # the recipe knows true, not True
            given[key] = str(value).lower() if isinstance(value, bool) else str(value)
        own = [word for key, value in given.items() for word in (f"--{key}", value)]
        options = job.options
        if self.is_from_elsewhere(job):  # its recoveries need statistics of its tokens
            options = ["--stage", "10", *options[2:]]
        return [c.run, *own, *self.common, *options]

    def told(self, tflops: float) -> str:
        """What would run, for --dry_run, and how long where options tell `hours`.

        Args:
            tflops: What a GPU sustains, 1e12 operations a second.

        Raises:
            UserError: See `Hours`.
        """
        from espnet_prune.report.compare.hours import Hours, assumed

        left = self.pending()
        jobs = self.plan.needed(left)
        lines = [f"{len(self.plan.points) - len(left)} rows are finished"]
        given = assumed(self.c, tflops)
        if given is None:
            return "\n".join([*lines, *(shlex.join(self.words(j)) for j in jobs)])
        prices = Hours(self.plan, given)
        found = [prices.of(job) for job in jobs]
        for job, hours in zip(jobs, found):
            text = "?" if hours is None else f"{hours:.1f}"
            lines.append(f"{text:>8}  {shlex.join(self.words(job))}")
        lines.append(
            f"{sum(filter(None, found)):8.1f}  GPU hours in all, of GPUs that sustain "
            f"{tflops:g} TFLOP/s: trainings only, recoveries as if nothing were cut; "
            "a '?' is known when another job has ended"
        )
        return "\n".join(lines)

    def minutes_left(self, jobs: Sequence[Job]) -> Optional[float]:
        """Core minutes of jobs, by what others took for an epoch; None if unknown."""
        taken = {n: minutes_of(self.logs, n) or 0.0 for n in self.plan.jobs}
        names = {job.name for job in jobs}
        rates = [
            taken[job.name] / job.epochs
            for job in self.plan.jobs.values()
            if job.name not in names and taken[job.name] and job.epochs
            if not self.is_from_elsewhere(job)
        ]
        if not rates or not any(job.epochs for job in jobs):
            return None
        rate = statistics.median(rates)  # one that failed at once says little
        return sum(max(0.0, job.epochs * rate - taken[job.name]) for job in jobs)

    def write_rows(self, points: Sequence[Point]) -> None:
        """Decode where that is ours to do, and write the JSON of what has results."""
        by_model: Dict[str, List[Point]] = {}
        for point in points if self.c.table else ():
            if not rows.where_decoded(self.c, point).is_dir():
                by_model.setdefault(str(point.exp), []).append(point)
        for group in by_model.values():
            depth.decode(self.c, group)
        for point in points:
            made = self.inputs(point)
            row = rows.describe(self.c, point, made, self.command)
            if row is None:
                logging.warning("%s: no results", point.name)
            else:
                write_json(row, rows.path_of(self.c, point))

    def run(self, max_jobs: int) -> List[Job]:
        """Run what is left; returns the jobs that failed or could not start."""
        left = self.pending()
        jobs = self.plan.needed(left)

        def command(job: Job) -> List[str]:
            if job.late:
                job.late()
            return self.words(job)

        def finished(job: Job, done: Sequence[Job]) -> None:
            good = {other.name for other in done}
            own = [p for p in left if job.name in p.needs and good.issuperset(p.needs)]
            self.write_rows(own)

        return run_side_by_side(
            jobs, command, max_jobs, self.logs, finished, self.minutes_left
        )
