# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From rows to jobs, each one call of the recipe, and to what they are measured at."""

import hashlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from espnet_prune.report.compare import configs
from espnet_prune.report.compare.conf import Comparison, Row
from espnet_prune.utils import UserError, read_mapping

DRAWS = 5  # of random blocks


class Job(NamedTuple):
    """One call of the recipe, in a directory of its own."""

    name: str
    exp: Path
    options: List[str]
    needs: Tuple[str, ...] = ()
    late: Optional[Callable[[], Any]] = None  # writes what others have to end before


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

    def needed(self, points: List[Point]) -> List[Job]:
        """Jobs of these points, and what they start from."""
        names = {name for point in points for name in point.needs}
        for job in reversed(list(self.jobs.values())):
            if job.name in names:
                names.update(job.needs)
        return [job for name, job in self.jobs.items() if name in names]

    def digest(self, name: str) -> str:
        """A hash of the options and configurations of a job and of what it needs."""
        job = self.jobs[name]
        parts: List[Any] = [job.options]
        parts += [
            read_mapping(word)
            for word in job.options
            if word.endswith(".yaml") and not job.late and Path(word).is_file()
        ]
        # a model that is there already does not depend on what is done with it
        parts += [self.digest(other) for other in job.needs if other != "dense"]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _stages(first: int, last: int, *more: Any) -> List[str]:
    return ["--stage", str(first), "--stop_stage", str(last), *map(str, more)]


def _name(c: Comparison, row: Row, size: float, seed: Optional[int]) -> str:
    parts = [row.name]
    if size or not (row.sized or row.kind == "dense"):
        parts.append(f"{size:g}")
    return "_".join([*parts, *([f"s{seed}"] if seed is not None else [])])


def _seeded(option: str, seed: Optional[int], *more: str) -> List[str]:
    words = [*([f"--seed {seed}"] if seed is not None else []), *more]
    return [option, " ".join(words)] if words else []


def dense_jobs(c: Comparison, plan: Plan) -> None:
    """Add the data, the dense models and, for depth, their tables."""
    if c.dense_exp:
        exp = Path(c.dense_exp)
        # the similarity of layers is measured only for a configuration that needs it
        files = [str(row.select or c.select) for row in c.rows.values()]
        files.sort(key=lambda path: read_mapping(path).get("method") != "layers")
        options = _stages(12, 14, "--dense_exp", exp, "--prune_config", files[0])
        plan.jobs["dense"] = Job("dense", exp, options)
        row = Row(kind="dense", name="dense")
        plan.points.append(Point("dense", row, 0, None, exp, ("dense",)))
        return
    first = c.dense[c.first]
    options = ["--stop_stage", "10", "--asr_config", first]
    plan.jobs["data"] = Job("data", c.exp / "stats", options)
    for seed in sorted({s for row in c.rows.values() for s in c.seeds_of(row)}):
        for name, config in c.dense.items():
            row = Row(kind="dense", name=name)
            key = _name(c, row, 0, seed)
            options = _stages(11, 11 if c.table else 13, "--dense_exp", c.exp / key)
            options += ["--asr_config", config, *_seeded("--asr_args", seed)]
            plan.jobs[key] = Job(key, c.exp / key, options, ("data",))
            if not c.table:
                plan.points.append(Point(key, row, 0, seed, c.exp / key, (key,)))
        if c.table:
            dense = f"{c.table['of']}_s{seed}"
            key = f"table_s{seed}"
            options = _stages(14, 15, "--prune_args", "--seed 0", "--prune_config")
            options += [c.table["select"], "--dense_exp", str(c.exp / dense)]
            options += ["--prune_exp", str(c.exp / key)]
            plan.jobs[key] = Job(key, c.exp / key, options, (dense,))


def pruning(c: Comparison, row: Row, size: float, seed: Optional[int]) -> Job:
    """The job of a row that is pruned."""
    key, file = _name(c, row, size, seed), _name(c, row, size, None)
    if c.dense_exp:
        dense, needs = Path(c.dense_exp), ("dense",)
        options = _stages(15, 21, "--prune_config", row.select or c.select)
        more = [f"--sparsity {size / 100:g}"] if size else []
    else:
        needs = (f"{row.of or c.first}_s{seed}",)
        dense, more = c.exp / needs[0], []
        options = _stages(14 if c.table else 15, 17 if c.table else 19)
        conf = configs.select_conf(c, row, size)
        path = c.exp / "conf" / f"{file}.yaml"
        options += ["--prune_config", *configs.write_changed(conf, path)]
        options += ["--decode_cut", "false"]
    if row.recover or c.recover:
        conf = configs.recover_conf(c, row)
        path = c.exp / "conf" / f"recover_{row.name}.yaml"
        options += ["--recover_config", *configs.write_changed(conf, path)]
    options += ["--dense_exp", str(dense), "--prune_exp", str(c.exp / key)]
    options += _seeded("--prune_args", seed, *more)
    options += _seeded("--recover_args", seed)
    return Job(key, c.exp / key, options, needs)


def training(c: Comparison, row: Row, size: float, seed: Optional[int]) -> Job:
    """The job of a row that is trained as a dense model is."""
    key, late, needs = _name(c, row, size, seed), None, ("data",)
    cut = Path()
    path = c.exp / "conf" / f"{_name(c, row, size, None)}.yaml"
    more = []
    if row.kind == "dense_long":
        dense = f"{row.of or c.first}_s{seed}"
        needs, more = (dense,), [f"--init_param {c.exp / dense / c.model}"]
    if row.kind == "scratch_structure":
        other = _name(c, c.rows[str(row.of)], size, seed)
        needs, cut = (other,), c.exp / other
        path = c.exp / "conf" / f"{key}.yaml"

    def write() -> None:
        configs.write_changed(configs.train_conf(c, row, size, cut), path)

    if row.kind == "scratch_structure":
        late = write
    else:
        write()
    options = _stages(11, 11 if c.table else 13, "--dense_exp", c.exp / key)
    options += ["--asr_config", str(path), *_seeded("--asr_args", seed, *more)]
    return Job(key, c.exp / key, options, needs, late)


def block_points(c: Comparison, row: Row, size: float, seed: int) -> List[Point]:
    """What is decoded of a dense model at one depth; random blocks several times."""
    base = f"{row.of or c.first}_s{seed}"
    needs = (base, f"table_s{seed}")
    return [
        Point(
            _name(c, row, size, seed) + (f"_{i}" if i else ""),
            row,
            size,
            seed,
            c.exp / base,
            needs,
            i,
        )
        for i in range(DRAWS if row.blocks == "random" else 1)
    ]


def make_plan(c: Comparison) -> Plan:
    """All jobs and points: dense models first, then row by row.

    Configurations are written to EXPDIR/conf.

    Raises:
        UserError: No recipe here, or two jobs of one name.
    """
    if not Path(c.run).is_file():
        raise UserError(f"{c.run} is not there; call it in a recipe's directory")
    plan = Plan({}, [])
    dense_jobs(c, plan)
    for row in c.rows.values():
        for seed in c.seeds_of(row):
            for size in c.sizes_of(row):
                if row.kind == "blocks":
                    plan.points.extend(block_points(c, row, size, int(seed or 0)))
                    continue
                make = pruning if row.kind == "prune" else training
                job = make(c, row, size, seed)
                if job.name in plan.jobs:
                    raise UserError(f"two jobs are called {job.name}; rename a row")
                plan.jobs[job.name] = job
                point = Point(job.name, row, size, seed, job.exp, (job.name,))
                plan.points.append(point)
    for job in plan.jobs.values():
        for name in set(job.needs) - plan.jobs.keys():
            raise UserError(f"{job.name} needs {name}, which is not in the comparison")
    return plan
