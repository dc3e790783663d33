# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the search over blocks saves by its cache, and what a lower depth saves in time.

    python test/benchmarks/bench_depth.py --model_config C --model_file M [--remove 6]

Run it where the model was trained: its validation data judges. Prints JSON: for
backward elimination, exhaustive search and CoMFLP the evaluations, the blocks run and
their ratio to running every set from its first block, the error of what is chosen and
how much that is above the exhaustive optimum; and encoder time by depth beside the MACs
that remain, all depths measured in turns in one run.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def searches(args: argparse.Namespace) -> Dict[str, Any]:
    """Run the searches, each with an evaluator of its own."""
    from espnet_prune.measure.similarity.model import measure_model
    from espnet_prune.models import load_model
    from espnet_prune.select.layers.conf import LayersConf
    from espnet_prune.select.layers.dev_data import load_batches
    from espnet_prune.select.layers.evaluator import Evaluator
    from espnet_prune.select.layers.search import search

    model, config = load_model(args.model_config, args.model_file)
    batches = load_batches(config, metric=args.metric)
    number = len(model.encoder.encoders)
    matrix, _ = measure_model(model, config, mode="frame")
    found: Dict[str, Any] = {}
    kinds = {
        "comflp": {"search": "comflp", "refine": False, "top_k": 12},
        "comflp_refine": {"search": "comflp"},
        "iterative": {"search": "iterative"},
    }
    if math.comb(number, args.remove) <= args.most:
        kinds["exhaustive"] = {"search": "exhaustive"}
    for name, conf in kinds.items():
        evaluator = Evaluator(model, batches)
        start = time.time()
        own = LayersConf.from_dict(conf)
        result = search(own, args.remove, number, evaluator, matrix)
        errors = {row.removed: row.error for row in result.rows}
        found[name] = {
            "removed": list(result.removed),
            "error": errors[result.removed],
            "evaluations": result.evaluations,
            "seconds": round(time.time() - start, 1),
            "blocks_run": evaluator.blocks_run,
            "blocks_without_cache": evaluator.blocks_naive,
            "saved": round(evaluator.blocks_naive / evaluator.blocks_run, 2),
        }
    if "exhaustive" in found:
        best = found["exhaustive"]["error"]
        for row in found.values():
            row["above_optimum"] = round(row["error"] - best, 5)
    return found


def times(args: argparse.Namespace) -> Dict[str, Any]:
    """Time the encoder at full depth and at some others, in turns."""
    from espnet_prune.deploy.depth_table import measure_depths
    from espnet_prune.models import load_model

    model, _ = load_model(args.model_config, args.model_file)
    number = len(model.encoder.encoders)
    depths = {number, *args.depths}
    errors = {n: (list(range(1, n + 1)), 0.0) for n in depths}
    rows = measure_depths(model.encoder, errors, model.ctc, runs=args.runs)
    full = rows[0]
    return {
        str(row.depth): {
            "ms": round(row.ms, 2),
            "time_ratio": round(row.ms / full.ms, 3),
            "macs_ratio": round(row.macs / full.macs, 3),
        }
        for row in rows
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_config", required=True)
    parser.add_argument("--model_file", required=True)
    parser.add_argument("--remove", type=int, default=6)
    parser.add_argument("--metric", default="wer")
    parser.add_argument("--most", type=int, default=1000, help="sets of exhaustive")
    parser.add_argument("--depths", type=int, nargs="+", default=[6, 4])
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    print(json.dumps({"searches": searches(args), "times": times(args)}, indent=2))


if __name__ == "__main__":
    main()
