#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Compare ways of making a model smaller: rows of a YAML, over sizes and seeds.

    espnet-prune compare conf/compare.yaml --data_dir /path/to/an4
    espnet-prune compare --dense_exp exp/asr_x --expdir exp/sweep --sparsities 30 50 \\
        --prune_configs conf/prune_l0_50.yaml conf/prune_magnitude_50.yaml
    espnet-prune compare --update_readme

To be called in a recipe's directory. Every model is one call of the recipe in a
directory of its own, several side by side; what follows `--` is given to all. Each
finished row is a JSON file in results/, and is not repeated; a failed one stops only
what depends on it. Tables and pictures are in EXPDIR/RESULTS.md. The second form, a
sweep, prunes one model that is there; the third makes the tables of README.md anew, as
--update_readme beside a YAML does in the end. --dry_run tells GPU hours, too, where the
YAML has options: {hours: of speech}.
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.report.compare.asked import comparison, numbers
from espnet_prune.utils import UserError, command_parser, run_main, setup_logging


def update(pages: Sequence[str]) -> None:
    """Make the tables of pages anew, by default those of README.md."""
    from espnet_prune.report.compare.tables import update_readme

    for path in map(Path, pages or ["README.md"]):
        print(f"{path}: {'written' if update_readme(path) else 'is as its rows'}")


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("config", nargs="?", help="YAML of the comparison")
    parser.add_argument("--data_dir", help="a Kaldi-style corpus")
    parser.add_argument(
        "--rows",
        "--methods",
        nargs="*",
        default=[],
        help="default all; with a row comes the one whose cut or structure it takes",
    )
    parser.add_argument(
        "--sizes",
        "--sparsities",
        nargs="*",
        default=[],
        help="percents removed, or blocks, instead of those in the YAML",
    )
    parser.add_argument("--seeds", nargs="+", default=[], help="of all rows")
    parser.add_argument("--test_sets", nargs="+", help="instead of those in the YAML")
    parser.add_argument("--expdir", help="where all models go")
    parser.add_argument("--dense_exp", help="sweep: the model that is pruned")
    parser.add_argument("--prune_configs", nargs="+", default=[], help="sweep: YAMLs")
    parser.add_argument("--max_jobs", type=int, default=2, help="jobs at a time")
    parser.add_argument("--run", help="the recipe's script")
    parser.add_argument("--model", help="checkpoint, default as in the recipe")
    parser.add_argument("--inference_config", help="of the beam search")
    parser.add_argument(
        "--frames",
        type=int,
        help="input frames for GMACs and time (default: what a model makes of 10 s)",
    )
    parser.add_argument("--runs", type=int, help="timed runs per encoder, default 15")
    parser.add_argument("--dry_run", action="store_true", help="only list the jobs")
    parser.add_argument(
        "--tflops", type=float, default=8.0, help="of a GPU, for --dry_run; default 8"
    )
    parser.add_argument("--only_table", action="store_true", help="train nothing")
    parser.add_argument(
        "--times",
        action="store_true",
        help="train nothing; measure finished rows in turns, on an idle machine: the "
        "encoder in torch and onnxruntime, whole recognitions by CTC and beam search",
    )
    parser.add_argument("--update_readme", nargs="*", help="default README.md")
    parser.add_argument("common", nargs="*", help="options of every call, after --")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command.

    Raises:
        UserError: A bad comparison; or, at the end, jobs that did not finish.
    """
    words = sys.argv[1:] if cmd is None else list(cmd)
    own, common = words, []
    if "--" in words:
        own, common = words[: words.index("--")], words[words.index("--") + 1 :]
    args = get_parser().parse_args(own)
    args.rows = " ".join(args.rows).split()
    args.sizes = numbers("--sizes", args.sizes, float)
    args.seeds = numbers("--seeds", args.seeds, int)
    setup_logging()
    if args.update_readme is not None and not args.config:
        return update(args.update_readme)
    from espnet_prune.report.compare.plan import make_plan
    from espnet_prune.report.compare.rows import public
    from espnet_prune.report.compare.run import Runner
    from espnet_prune.report.compare.write import write

    c = comparison(args)
    plan = make_plan(c)
    runner = Runner(c, plan, public(words), common)
    if args.dry_run:
        print(runner.told(args.tflops))
        return
    if args.times:
        from espnet_prune.report.compare.times import write_times

        print(f"measured: {', '.join(write_times(c, plan.points))}")
    quiet = args.only_table or args.times
    failed = [] if quiet else runner.run(args.max_jobs)
    if args.only_table:
        runner.write_rows(runner.pending())
    left = runner.pending()
    done = [point for point in plan.points if point not in left]
    print(write(c, done, public(words)))
    print(f"\nwritten: {c.results}/*.json, {c.expdir}/RESULTS.md and its images")
    if args.update_readme is not None:
        update(args.update_readme)
    if failed:
        raise UserError(
            f"{len(failed)} jobs did not finish: {', '.join(j.name for j in failed)}; "
            f"their logs are in {c.exp / 'log'}"
        )


if __name__ == "__main__":
    run_main(main)
