#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Prove that masking and cutting a model's encoder are the same function.

Draws random structures with random soft masks, runs masked and cut encoder on random
lengths and paddings, and compares formula and counted parameters. Exits with 2 if any
of them differ. Both encoders run in float64; the difference is relative to the largest
output.
"""

import argparse
import json
from typing import Any, Dict, List, Optional

from espnet_prune.utils import UserError, run_main, write_json


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_config", required=True, help="config.yaml")
    parser.add_argument("--model_file", required=True, help="checkpoint (.pth)")
    parser.add_argument("--structures", type=int, default=10, help="how many to draw")
    parser.add_argument("--keep", type=float, default=0.5, help="mean share kept")
    parser.add_argument("--trials", type=int, default=4, help="batches per structure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="write JSON to this file")
    return parser


def check(
    encoder: Any, seed: int, keep: float, trials: int, ctc: Any = None
) -> Dict[str, Any]:
    """Cut an encoder to one random Structure and compare.

    Args:
        encoder: The encoder.
        seed: Seed of all that is drawn.
        keep: Mean share of the units that stay.
        trials: Batches that are compared.
        ctc: CTC module of the model, for self-conditioned intermediate CTC.

    Returns:
        The report of `compare`, plus "params_match".
    """
    import torch

    from espnet_prune import Structure, cost, cut, unit_graph
    from espnet_prune.cutting.verify import compare

    graph = unit_graph(encoder)
    structure = Structure.random(encoder, seed, keep)
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for name, mask in graph.first(structure).items():
        order = torch.randperm(len(mask), generator=generator)
        soft = 0.2 + 0.8 * torch.rand(len(mask), generator=generator)
        masks[name] = mask[order] * soft
    small = cut(encoder, structure, masks)
    report = compare(encoder, graph, masks, small, trials, seed, ctc)
    numel = sum(p.numel() for p in small.parameters())
    report["params_match"] = numel == cost(structure).params
    return report


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    if not 0 < args.keep < 1:
        raise UserError("--keep must be between 0 and 1")
    from espnet_prune.models import load_model

    model, _ = load_model(args.model_config, args.model_file)
    reports = [
        check(model.encoder, args.seed + i, args.keep, args.trials, model.ctc)
        for i in range(args.structures)
    ]
    result = {
        "structures": len(reports),
        "file": str(args.model_file),
        "max_abs_diff": max(report["max_abs_diff"] for report in reports),
        "relative_diff": max(report["relative_diff"] for report in reports),
        "tolerance": reports[0]["tolerance"],
        "dtype": reports[0]["dtype"],
        "equal": all(report["equal"] for report in reports),
        "params_match": all(report["params_match"] for report in reports),
    }
    if args.output:
        write_json(result, args.output)
    print(json.dumps(result))
    if not all(report["finite"] for report in reports):
        raise UserError(
            f"{args.model_file}: its encoder gives values that are not finite"
        )
    if not (result["equal"] and result["params_match"]):
        raise UserError("masked and cut encoder are not the same function")


if __name__ == "__main__":
    run_main(main)
