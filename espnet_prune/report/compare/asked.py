# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The comparison that a command line asks for: a YAML with changes, or a sweep."""

import argparse
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from espnet_prune.report.compare import conf
from espnet_prune.utils import UserError

TIMES = ("frames", "runs")  # of the table's GMACs and milliseconds


def sweep(args: argparse.Namespace) -> conf.Comparison:
    """The comparison of a sweep: a row per configuration.

    Raises:
        UserError: Two configurations of one name, or bad sparsities.
    """
    names = [Path(path).stem for path in args.prune_configs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two jobs are called {name}; rename a configuration")
    data: Dict[str, Any] = {
        "rows": {Path(path).stem: {"select": path} for path in args.prune_configs},
        "dense_exp": args.dense_exp,
        "seeds": [None],
        "sizes": args.sizes or [],
        "run": args.run or "./run.sh",
        "inference_config": args.inference_config or "conf/decode_asr.yaml",
        "inference_asr_model": args.model,
    }
    data.update({k: getattr(args, k) for k in TIMES if getattr(args, k) is not None})
    if not args.expdir:
        raise UserError("--expdir is missing, where all models of the sweep go")
    return conf.make({**data, "expdir": args.expdir}, "the sweep", "sweep")


def comparison(args: argparse.Namespace) -> conf.Comparison:
    """The comparison that the command line asks for."""
    if args.dense_exp:
        return sweep(args)
    if not args.config:
        raise UserError("no YAML of a comparison is given, as conf/compare.yaml")
    same = ("expdir", "run", "sizes", "seeds", "test_sets", *TIMES)
    changes = {k: getattr(args, k) for k in same}
    changes.update(inference_config=args.inference_config)
    changes.update(inference_asr_model=args.model)
    found = {k: v for k, v in changes.items() if v}
    if args.data_dir:
        found["options"] = {"data_dir": args.data_dir}
    return conf.read(args.config, found, args.rows)


def numbers(option: str, words: Sequence[str], kind: Callable[[str], Any]) -> List[Any]:
    """Return the numbers of an option, given as several words or as one.

    Raises:
        UserError: One is none.
    """
    try:
        return [kind(word) for word in " ".join(words).split()]
    except ValueError as error:
        raise UserError(f"{option} {' '.join(words)}: {error}") from error
