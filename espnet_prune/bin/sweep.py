#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Prune one dense model in several ways, and say which of the results are worth having.

    python -m espnet_prune.bin.sweep --dense_exp exp/asr_x --expdir exp/sweep \\
        --prune_configs conf/prune_l0_50.yaml conf/prune_magnitude_50.yaml \\
        --sparsities 30 50 70 --max_jobs 4 -- --inference_nj 8

To be called in a recipe's directory. Each combination of a configuration and a sparsity
is one call of ./run.sh, stages 15-21, in a directory of its own, EXPDIR/NAME; what
follows `--` is given to every call. Jobs go through cmd.sh, as always. Called again, it
repeats nothing that is finished; a member that fails does not stop the others, and is
named at the end. Writes EXPDIR/RESULTS.md, sweep.json and images/pareto.png.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from espnet_prune.model_files import DEFAULT
from espnet_prune.utils import (
    UserError,
    atomic_write,
    read_yaml,
    run_main,
    setup_logging,
    write_json,
)


class Member(NamedTuple):
    """One call of the recipe."""

    name: str
    exp: Path
    options: List[str]


def plan(args: argparse.Namespace) -> List[Member]:
    """Return the dense model's measurement, and all members.

    Raises:
        UserError: No recipe here, a bad sparsity, or two members of one name.
    """
    if not Path(args.run).is_file():
        raise UserError(
            f"{args.run} is not there; call the sweep in a recipe's directory"
        )
    if not all(0 < sparsity < 100 for sparsity in args.sparsities):
        raise UserError("--sparsities are percents removed, above 0 and below 100")
    common = ["--dense_exp", str(args.dense_exp)]
    if args.model is not None:
        common += ["--inference_asr_model", args.model]
    common += ["--inference_config", args.inference_config]
    # the similarity of layers is measured only for a configuration that needs it
    configs = sorted(
        args.prune_configs, key=lambda path: read_yaml(path).get("method") != "layers"
    )
    options = ["--stage", "12", "--stop_stage", "14", "--prune_config", configs[0]]
    members = [Member("dense", args.dense_exp, [*common, *options])]
    for config in args.prune_configs:
        for sparsity in args.sparsities or [None]:
            name = Path(config).stem
            own = ["--stage", "15", "--stop_stage", "21", "--prune_config", config]
            if sparsity is not None:
                name += f"_{sparsity:g}"
                own += ["--prune_args", f"--sparsity {sparsity / 100:g}"]
            exp = args.expdir / name
            members.append(Member(name, exp, [*common, *own, "--prune_exp", str(exp)]))
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two members are called {name}; rename a configuration")
    return members


def write_results(
    args: argparse.Namespace, members: Sequence[Member], command: str
) -> str:
    """Measure the models that are there, in turns, and write the table.

    Args:
        args: The command line.
        members: The dense model first; only those that have finished.
        command: The command, for the record.

    Returns:
        str: The table.
    """
    from espnet_prune.report import pareto, plots, results

    model = args.model or DEFAULT
    decode = f"{Path(args.inference_config).stem}_asr_model_{Path(model).stem}"
    view = Path("exp/dense", args.dense_exp.name)  # of a model from elsewhere
    if (view / decode).is_dir() and not (args.dense_exp / decode).is_dir():
        members = [members[0]._replace(exp=view), *members[1:]]
    rows = [
        results.Entry(m.name, m.exp / "config.yaml", m.exp / model, m.exp / decode)
        for m in members
    ]
    found = results.measure(rows, args.frames, args.runs)
    results.add_scores(found, rows)
    points = pareto.points(found)
    fronts = {axis: pareto.front(points, axis) for axis in pareto.AXES}
    lines = []
    for point in points:
        best = [pareto.AXES[a][0] for a in fronts if point["name"] in fronts[a]]
        lines.append([point["name"], ", ".join(best) or "-"])
    seconds = results.seconds_of(args.frames, rows[0].config)
    table = results.compression_table(found, seconds)
    compared = next((p["set"] for p in points if p["set"]), "")
    head = ["model", f"no other is better in WER {compared} and".replace("  ", " ")]
    best_table = results.markdown([head, *lines])
    plots.save_png(pareto.figure(points), args.expdir / "images" / "pareto.png")
    text = ["# RESULTS", "", *(f"- {k}: `{v}`" for k, v in results.environment())]
    text += [f"- sweep: `{command}`", "", table, "", best_table, ""]
    text += ["![Error rate against size, cost and time](images/pareto.png)", ""]
    with atomic_write(args.expdir / "RESULTS.md") as stream:
        stream.write("\n".join(text))
    record: Dict[str, Any] = {"models": found, "fronts": fronts, "command": command}
    write_json(record, args.expdir / "sweep.json")
    return f"{table}\n\n{best_table}"


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dense_exp", type=Path, required=True)
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--prune_configs", nargs="+", required=True, help="YAML files")
    parser.add_argument(
        "--sparsities",
        type=float,
        nargs="*",
        default=[],
        help="percents removed, instead of the budgets in the configurations",
    )
    parser.add_argument("--max_jobs", type=int, default=2, help="members at a time")
    parser.add_argument("--run", default="./run.sh", help="the recipe")
    parser.add_argument("--model", help="checkpoint, default as in the recipe")
    parser.add_argument("--inference_config", default="conf/decode_asr.yaml")
    parser.add_argument(
        "--frames",
        type=int,
        help="input frames for GMACs and time (default: what a model makes of 10 s)",
    )
    parser.add_argument("--runs", type=int, default=15, help="timed runs per encoder")
    parser.add_argument("common", nargs="*", help="options of every call, after --")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    words = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(words)
    setup_logging()
    members = plan(args)
    from espnet_prune.jobs.side_by_side import require_all, run_side_by_side

    def ready(member: Member, done: Sequence[Member]) -> bool:
        return member is members[0] or members[0] in done

    def command(member: Member) -> List[str]:
        return [args.run, *args.common, *member.options]

    logs = args.expdir / "log"
    failed = run_side_by_side(members, command, ready, args.max_jobs, logs)
    finished = [member for member in members if member not in failed]
    if len(finished) > 1:
        whole = shlex.join(["python3", "-m", "espnet_prune.bin.sweep", *words])
        print(write_results(args, finished, whole))
        print(f"\nwritten: {args.expdir}/RESULTS.md, sweep.json, images/pareto.png")
    require_all(failed, logs)


if __name__ == "__main__":
    run_main(main)
