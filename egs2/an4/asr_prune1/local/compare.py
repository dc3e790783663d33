#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Plan and run the jobs of compare.sh, and make its table.

Every job is one call of prune.sh in a directory of its own, so that a finished one is
skipped and an interrupted one goes on. All configurations are written to EXPDIR/conf.
"""

import argparse
import copy
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import compare_table

from espnet_prune.jobs.side_by_side import require_all, run_side_by_side
from espnet_prune.measure.cost import PARTS
from espnet_prune.select.budget import UNIT_KINDS, Budget
from espnet_prune.utils import (
    UserError,
    check_keys,
    read_yaml,
    run_main,
    setup_logging,
    write_yaml,
)

METHODS = ("l0_kd", "l0", "magnitude", "scratch", "scratch_long", "l0_kd_macs")
METHODS += ("l0_kd_parts", "l0_kd_blocks", "dense_long")
MACS = ("l0_kd_macs", "l0_kd_parts", "l0_kd_blocks")
NO_TEACHER = ("l0", "magnitude")
FRONT = ("subsampling_channel", "wave_channel")


class Job(NamedTuple):
    """One model: its name, its directory and the stages of prune.sh that make it."""

    method: str
    size: int
    seed: int
    exp: Path
    options: List[str]

    @property
    def name(self) -> str:
        """Name for people and for the log file."""
        return self.exp.name


def epochs(args: argparse.Namespace) -> Tuple[int, int]:
    """Epochs of the selection and of the recovery, as the configurations say.

    Raises:
        UserError: A configuration has no max_epoch, or the method is not l0.
    """
    prune, recover = read_yaml(args.prune_config), read_yaml(args.recover_config)
    if prune.get("method", "l0") != "l0":
        raise UserError(f"{args.prune_config}: the method must be l0")
    select = (prune.get("train_conf") or {}).get("max_epoch")
    for value, path in ((select, args.prune_config), (1, args.recover_config)):
        if not value:
            raise UserError(f"{path}: train_conf has no max_epoch")
    if not recover.get("max_epoch"):
        raise UserError(f"{args.recover_config}: no max_epoch")
    return int(select), int(recover["max_epoch"])


def uniform_config(config: Dict[str, Any], removed: float) -> Dict[str, Any]:
    """A stock encoder with about (1 - removed) of the parameters, depth unchanged.

    The model width and the feed-forward width shrink by the same factor; the last
    percents are met by the feed-forward width.

    Args:
        config: The dense training configuration.
        removed: Share of the encoder's parameters to be removed.

    Returns:
        The configuration with the smaller encoder.
    """
    import espnet_prune

    espnet_prune.register()
    from espnet2.tasks.asr import encoder_choices

    dense = dict(config.get("encoder_conf") or {})
    make = encoder_choices.get_class(config["encoder"])
    mels = (config.get("frontend_conf") or {}).get("n_mels", 80)

    def size(conf: Dict[str, Any]) -> int:
        return sum(p.numel() for p in make(input_size=mels, **conf).parameters())

    heads = dense.get("attention_heads", 4)
    width, units = dense.get("output_size", 256), dense.get("linear_units", 2048)
    goal = (1.0 - removed) * size(dense)
    step = 2 * heads if (width // heads) % 2 == 0 else heads

    def shaped(d: int, f: int) -> Dict[str, Any]:
        return {**dense, "output_size": d, "linear_units": f}

    widths = range(step, width + 1, step)
    best = min(widths, key=lambda d: abs(size(shaped(d, units * d // width)) - goal))
    start = units * best // width
    slope = size(shaped(best, start + 1)) - size(shaped(best, start))
    exact = max(1, start + round((goal - size(shaped(best, start))) / slope))
    return {**config, "encoder_conf": shaped(best, exact)}


def stretch(conf: Dict[str, Any], number: int) -> Dict[str, Any]:
    """The configuration with another number of epochs.

    A learning rate that falls over a number of steps falls over as many epochs more or
    less, so that it ends where it did.
    """
    conf = copy.deepcopy(conf)
    before, conf["max_epoch"] = conf.get("max_epoch", number), number
    schedule = conf.get("scheduler_conf") or {}
    for key in ("first_cycle_steps", "T_max", "total_steps"):
        if schedule.get(key):
            schedule[key] = round(schedule[key] * number / before)
    return conf


def write_confs(args: argparse.Namespace, total: int) -> Dict[str, Path]:
    """Write the configurations of all methods and sizes; returns them by name."""
    folder = args.expdir / "conf"
    prune, recover = read_yaml(args.prune_config), read_yaml(args.recover_config)
    plain = {k: v for k, v in recover.items() if k != "distill_conf"}
    confs: Dict[str, Any] = {
        **{f"recover_{name}": recover for name in ("l0_kd", *MACS)},
        "recover_l0": plain,
        "recover_magnitude": stretch(plain, total),
    }
    Budget.from_conf(prune.get("budget") or {}).whole("compare.sh")
    for size in args.sizes:
        for method in args.methods:
            name = f"{method}_{size}"
            conf = copy.deepcopy(prune)
            conf["budget"] = {**(conf.get("budget") or {}), "sparsity": size / 100}
            conf["budget"]["kind"] = "macs" if method in MACS else "params"
            if method == "l0_kd_parts":
                share = conf["budget"].pop("sparsity")
                conf["budget"].update(dict.fromkeys(PARTS, share))
            if method == "l0_kd_blocks":
                units = conf.get("units") or UNIT_KINDS
                conf["units"] = [kind for kind in units if kind not in FRONT]
            if method in NO_TEACHER:
                conf.pop("distill_conf", None)
            if method == "magnitude":
                keys = ("budget", "units", "round_to")
                conf = {"method": method, **{k: conf[k] for k in keys if k in conf}}
            if method == "dense_long":
                conf = {**read_yaml(args.asr_config), **stretch(plain, total)}
            if method.startswith("scratch"):
                dense = read_yaml(args.asr_config)
                more = dense["max_epoch"] if method == "scratch_long" else 0
                conf = stretch(uniform_config(dense, size / 100), total + more)
            confs[name] = conf
    paths = {}
    for name, conf in confs.items():
        paths[name] = folder / f"{name}.yaml"
        if not paths[name].exists() or read_yaml(paths[name]) != conf:
            write_yaml(conf, paths[name])
    return paths


def plan(args: argparse.Namespace, confs: Dict[str, Path]) -> List[Job]:
    """All jobs in the order of their importance: dense models, then by method."""
    jobs = []
    for seed in sorted({*args.seeds, *args.other_seeds}):
        exp = args.expdir / f"dense_s{seed}"
        options = ["--stage", "11", "--stop_stage", "13", "--dense_exp", str(exp)]
        options += ["--asr_config", args.asr_config, "--asr_args", f"--seed {seed}"]
        jobs.append(Job("dense", 0, seed, exp, options))
    for method in args.methods:
        seeds = args.seeds if method.startswith("l0_kd") else args.other_seeds
        for seed in seeds:
            dense = args.expdir / f"dense_s{seed}"
            for size in args.sizes if method != "dense_long" else [0]:
                exp = args.expdir / f"{method}_{size}_s{seed}"
                conf = str(confs[f"{method}_{size or args.sizes[0]}"])
                if method.startswith(("scratch", "dense")):
                    options = ["--stage", "11", "--stop_stage", "13"]
                    options += ["--dense_exp", str(exp), "--asr_config", conf]
                    more = f" --init_param {dense / args.inference_asr_model}"
                    more = f"--seed {seed}{more if method == 'dense_long' else ''}"
                    options += ["--asr_args", more]
                else:
                    options = ["--stage", "15", "--stop_stage", "19"]
                    options += ["--dense_exp", str(dense)]
                    options += ["--prune_exp", str(exp), "--prune_config", conf]
                    options += ["--prune_args", f"--seed {seed}"]
                    options += ["--recover_config", str(confs[f"recover_{method}"])]
                    options += ["--recover_args", f"--seed {seed}"]
                    options += ["--decode_cut", "false"]
                jobs.append(Job(method, size, seed, exp, options))
    return jobs


def run_all(args: argparse.Namespace, jobs: Sequence[Job]) -> List[Job]:
    """Run the jobs side by side, a dense model before what depends on it.

    Returns:
        The jobs that failed, or that could not start.
    """

    def ready(job: Job, done: Sequence[Job]) -> bool:
        free = job.method == "dense" or job.method.startswith("scratch")
        return free or job.seed in {j.seed for j in done if j.method == "dense"}

    def command(job: Job) -> List[str]:
        return ["./prune.sh", *args.common, *job.options]

    logs = args.expdir / "log"
    return run_side_by_side(jobs, command, ready, args.max_jobs, logs)


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--other_seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--methods", nargs="*", default=["l0_kd"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50])
    parser.add_argument("--max_jobs", type=int, default=2)
    for name in ("asr_config", "prune_config", "recover_config", "inference_config"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--inference_asr_model", default="valid.acc.ave.pth")
    parser.add_argument("--test_sets", nargs="+", default=["dev", "test"])
    parser.add_argument("--bootstrap", type=int, default=10000)
    parser.add_argument("--dumpdir", type=Path, default=Path("dump"))
    parser.add_argument("--only_table", type=lambda x: x == "true", default=False)
    parser.add_argument("common", nargs="*", help="options of every prune.sh call")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the comparison."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    check_keys(args.methods, METHODS, "--methods")
    if not all(0 < size < 100 for size in args.sizes):
        raise UserError("--sizes are percents of the encoder, above 0 and below 100")
    select, recover = epochs(args)
    jobs = plan(args, write_confs(args, select + recover))
    failed = [] if args.only_table else run_all(args, jobs)
    about = {"epochs after dense": f"{select} + {recover}", "expdir": str(args.expdir)}
    table = compare_table.write(
        [(job.method, job.size, job.seed, job.exp) for job in jobs],
        Path(args.inference_config).stem,
        args.inference_asr_model,
        args.test_sets,
        args.expdir,
        about,
        args.bootstrap,
        args.dumpdir,
    )
    print(table)
    require_all(failed, args.expdir / "log")


if __name__ == "__main__":
    run_main(main)
