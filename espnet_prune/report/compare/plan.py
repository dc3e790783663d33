# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From rows to jobs, each one call of the recipe, and to what they are measured at."""

import functools
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from espnet_prune.report.compare import configs
from espnet_prune.report.compare.conf import Comparison, Row
from espnet_prune.utils import UserError, read_mapping, write_changed

DRAWS = 5  # of random blocks
# the stage of the recipe that a configuration is of
USED = {"--asr_config": 11, "--prune_config": 15, "--recover_config": 17}


class Job(NamedTuple):
    """One call of the recipe, in a directory of its own."""

    name: str
    exp: Path
    options: List[str]
    needs: Tuple[str, ...] = ()
    late: Optional[Callable[[], Any]] = None  # makes what others have to end before
    written: str = ""  # the YAML that it writes

    @property
    def given(self) -> Dict[str, str]:
        """Its options by name."""
        return dict(zip(self.options[::2], self.options[1::2]))

    @property
    def configs(self) -> Dict[str, str]:
        """The YAMLs by which it trains or selects, by the option that names them."""
        given = self.given
        stages = range(int(given["--stage"]), int(given["--stop_stage"]) + 1)
        found = {
            name: given.get(name, "none") for name, n in USED.items() if n in stages
        }
        if self.late is not None:  # another job has selected
            found.pop("--prune_config", None)
        return {name: path for name, path in found.items() if path != "none"}

    @property
    def epochs(self) -> float:
        """Epochs of its trainings, of those whose configuration is there."""
        paths = [path for path in self.configs.values() if Path(path).is_file()]
        confs = [read_mapping(path) for path in paths]
        trainings = [conf.get("train_conf") or conf for conf in confs]
        return sum(training.get("max_epoch") or 0 for training in trainings)


class Point(NamedTuple):
    """What becomes one row's JSON: a model, or some of its blocks, of one seed."""

    name: str
    row: Row
    size: float
    seed: Optional[int]
    exp: Path
    needs: Tuple[str, ...]
    draw: int = 0


class Plan(NamedTuple):
    """Jobs by name, in the order of their importance, and the points."""

    jobs: Dict[str, Job]
    points: List[Point]
    exp: Path  # where all jobs have their directories

    def needed(self, points: Sequence[Point]) -> List[Job]:
        """Jobs of these points, and what they start from."""
        names = {name for point in points for name in point.needs}
        for job in reversed(list(self.jobs.values())):
            if job.name in names:
                names.update(job.needs)
        return [job for name, job in self.jobs.items() if name in names]

    def digest(self, name: str) -> str:
        """A hash of the options and configurations of a job and of what it needs.

        Where the models lie is not in it, so that comparisons can have rows in common.
        """
        job = self.jobs[name]
        parts: List[Any] = [[w.replace(f"{self.exp}/", "") for w in job.options]]
        parts += [
            read_mapping(word)
            for word in job.options
            if word.endswith(".yaml") and word != job.written and Path(word).is_file()
        ]
        # a model that is there already does not depend on what is done with it
        parts += [self.digest(other) for other in job.needs if other != "dense"]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def add(self, row: Row, size: float, seed: Optional[int], job: Job) -> None:
        """Take a job, and the point that is measured when it has ended.

        Raises:
            UserError: There are two of one name.
        """
        if job.name in self.jobs:
            raise UserError(f"two jobs are called {job.name}; rename a row")
        self.jobs[job.name] = job
        self.points.append(Point(job.name, row, size, seed, job.exp, (job.name,)))


def stages(first: int, last: int, **options: Any) -> List[str]:
    """Options of the recipe; those that are None or empty are left out."""
    given = {"stage": first, "stop_stage": last, **options}
    words = [(f"--{name}", str(v)) for name, v in given.items() if v not in (None, "")]
    return [word for pair in words for word in pair]


def seed_args(seed: Optional[int], more: str = "") -> str:
    """More options of a training."""
    return " ".join(filter(None, (f"--seed {seed}" if seed is not None else "", more)))


def named(row: Row, size: float, seed: Optional[int]) -> str:
    """Name of a job; without a seed that of its configuration."""
    parts = [
        row.name,
        *([f"{size:g}"] if size or row.kind.startswith("dense_") else []),
    ]
    return "_".join([*parts, *([f"s{seed}"] if seed is not None else [])])


def dense_jobs(c: Comparison, plan: Plan) -> None:
    """Add the data, the dense models and, for depth, their tables."""
    if c.dense_exp:
        # the similarity of layers is measured only for a configuration that needs it
        files = [row.select for row in c.rows.values()]
        files.sort(key=lambda path: read_mapping(path).get("method") != "layers")
        options = stages(12, 14, dense_exp=c.dense_exp, prune_config=files[0])
        row = Row(kind="dense", name="dense")
        plan.add(row, 0, None, Job("dense", Path(c.dense_exp), options))
        return
    options = stages(1, 10, asr_config=next(iter(c.dense.values())))
    plan.jobs["data"] = Job("data", c.exp / "stats", options)
    for seed in sorted({seed for row in c.rows.values() for seed in row.seeds}):
        for name, config in c.dense.items():
            exp = c.exp / f"{name}_s{seed}"
            own = {"dense_exp": exp, "asr_config": config, "asr_args": seed_args(seed)}
            options = stages(11, 11 if c.table else 13, **own)
            job = Job(exp.name, exp, options, ("data",))
            if c.table:
                plan.jobs[exp.name] = job
            else:
                plan.add(Row(kind="dense", name=name), 0, seed, job)
        for of, select in tables(c).items():
            dense, exp = f"{of}_s{seed}", c.exp / table_named(c, of, seed)
            own = {"prune_config": select, "prune_args": seed_args(0)}
            options = stages(14, 15, dense_exp=c.exp / dense, prune_exp=exp, **own)
            plan.jobs[exp.name] = Job(exp.name, exp, options, (dense,))


def tables(c: Comparison) -> Dict[str, str]:
    """The models that have a depth table, and the selection that makes it.

    Raises:
        UserError: Two rows want different tables of one model.
    """
    found = {c.table["of"]: c.table["select"]} if c.table else {}
    for row in c.rows.values():
        if row.kind == "blocks" and row.select:
            if found.setdefault(row.of, row.select) != row.select:
                raise UserError(
                    f"rows: {row.name}: select: {row.of} has a depth table by "
                    f"{found[row.of]} already; leave select out"
                )
    return found


def table_named(c: Comparison, of: str, seed: Optional[int]) -> str:
    """Name of the job that makes the depth table of a model."""
    return f"table_s{seed}" if of == c.table["of"] else f"table_{of}_s{seed}"


def pruning(c: Comparison, row: Row, size: float, seed: Optional[int]) -> Job:
    """The job of a row that is pruned, by itself or by the row `cut`."""
    key, confs = named(row, size, seed), c.exp / "conf"
    dense, more, late = "dense" if c.dense_exp else f"{row.of}_s{seed}", "", None
    needs: Tuple[str, ...] = (dense,)
    by = c.rows[row.cut] if row.cut else row
    if row.cut:
        needs = (dense, named(by, size, seed))
        late = functools.partial(take_cut, c.exp / needs[1], c.exp / key)
    own: Dict[str, Any] = {"dense_exp": c.dense_exp or c.exp / dense}
    own["prune_exp"] = c.exp / key
    first, last = (14, 17) if c.table else (15, 21 if c.dense_exp else 19)
    if c.dense_exp:
        own["prune_config"] = by.select
        more = f"--sparsity {size / 100:g}" if size else ""
    else:
        conf, path = configs.select_conf(c, by, size), named(by, size, None)
        own["prune_config"] = write_changed(conf, confs / f"{path}.yaml")
        own["decode_cut"] = "false"
    if row.recover == "none":
        own["recover_config"] = "none"
    elif row.recover:
        path = confs / f"recover_{row.name}.yaml"
        own["recover_config"] = write_changed(configs.recover_conf(c, row), path)
    own["prune_args"], own["recover_args"] = seed_args(seed, more), seed_args(seed)
    return Job(key, c.exp / key, stages(first, last, **own), needs, late)


def take_cut(source: Path, exp: Path) -> None:
    """Copy what a row has selected and cut, and that these stages are finished."""
    for part in ("select", "cut"):
        target = exp / part
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source / part, target, ignore=shutil.ignore_patterns(".lock"))


def training(c: Comparison, row: Row, size: float, seed: Optional[int]) -> Job:
    """The job of a row that is trained as a dense model is."""
    key, needs, more = named(row, size, seed), ("data",), ""
    path, cut = c.exp / "conf" / f"{named(row, size, None)}.yaml", Path()
    if row.kind == "dense_long":
        needs = (f"{row.of}_s{seed}",)
        more = f"--init_param {c.exp / needs[0] / c.model}"
    late = row.kind == "scratch_structure"
    if late:
        needs = (named(c.rows[row.of], size, seed),)
        path, cut = path.with_name(f"{key}.yaml"), c.exp / needs[0]

    def write() -> None:
        write_changed(configs.train_conf(c, row, size, cut), path)

    if not late:
        write()
    own = {"asr_config": path, "asr_args": seed_args(seed, more)}
    options = stages(11, 11 if c.table else 13, dense_exp=c.exp / key, **own)
    job = Job(key, c.exp / key, options, needs)
    return job._replace(late=write, written=str(path)) if late else job


def make_plan(c: Comparison) -> Plan:
    """All jobs and points: dense models first, then row by row.

    Configurations are written to EXPDIR/conf. A dense model from which nothing starts,
    and with which nothing is compared, is none of the points.

    Raises:
        UserError: No recipe here, two jobs of one name, or one that needs another
            that is not there.
    """
    if not Path(c.run).is_file():
        raise UserError(f"{c.run} is not there; call it in a recipe's directory")
    plan = Plan({}, [], c.exp)
    dense_jobs(c, plan)
    for row in c.rows.values():
        for seed, size in ((seed, size) for seed in row.seeds for size in row.sizes):
            if row.kind != "blocks":
                make = pruning if row.kind == "prune" else training
                plan.add(row, size, seed, make(c, row, size, seed))
                continue
            base = f"{row.of}_s{seed}"
            table = table_named(c, row.of if row.select else c.table["of"], seed)
            for draw in range(DRAWS if row.blocks == "random" else 1):
                name = named(row, size, seed) + (f"_{draw}" if draw else "")
                point = (name, row, size, seed, c.exp / base)
                plan.points.append(Point(*point, (base, table), draw))
    for job in plan.jobs.values():
        for name in set(job.needs) - plan.jobs.keys():
            raise UserError(f"{job.name} needs {name}, which is not in the comparison")
    wanted = {name for job in plan.jobs.values() for name in job.needs}
    plan.points[:] = [
        point
        for point in plan.points
        if point.row.kind != "dense"
        or point.name in wanted
        or point.row.name == c.against
    ]
    return plan
