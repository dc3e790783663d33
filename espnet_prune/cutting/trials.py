# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The proof that masked equals cut, on random structures of a model."""

import argparse
import json
from typing import Any, Dict

import torch

from espnet_prune.cutting.cutter import cut
from espnet_prune.cutting.verify import compare
from espnet_prune.families import unit_graph
from espnet_prune.measure.cost import cost
from espnet_prune.models import load_model
from espnet_prune.structure import Structure
from espnet_prune.units import UnitGraph
from espnet_prune.utils import UserError, write_json


def soft_masks(
    graph: UnitGraph, structure: Structure, seed: int = 0
) -> Dict[str, torch.Tensor]:
    """Return masks that keep random units of a Structure at random values."""
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for name, mask in graph.first(structure).items():
        order = torch.randperm(len(mask), generator=generator)
        value = 0.2 + 0.8 * torch.rand(len(mask), generator=generator)
        masks[name] = mask[order] * value
    return masks


def check(
    root: Any, seed: int, keep: float, trials: int, ctc: Any = None
) -> Dict[str, Any]:
    """Cut a model, or a stack, to one random Structure and compare.

    Args:
        root: An encoder, decoder or joint network, or a model with some.
        seed: Seed of all that is drawn.
        keep: Mean share of the units that stay.
        trials: Batches that are compared, per stack.
        ctc: CTC module of the model, for self-conditioned intermediate CTC.

    Returns:
        The report of `compare`, plus "stacks" and "params_match".
    """
    graph = unit_graph(root)
    structure = Structure.random(root, seed, keep)
    masks = soft_masks(graph, structure, seed)
    small = cut(root, structure, masks)
    report = compare(root, graph, masks, small, trials, seed, ctc)
    numel = sum(p.numel() for p in small.parameters())
    report["params_match"] = numel == cost(structure).params
    report["stacks"] = list(graph.places)
    return report


def run(args: argparse.Namespace) -> None:
    """Prove it for some structures; see `espnet_prune.bin.verify`.

    Args:
        args: Its command line.

    Raises:
        UserError: A share that is none, a model that gives no numbers, or functions
            that differ.
    """
    if not 0 < args.keep < 1:
        raise UserError("--keep must be between 0 and 1")
    model, _ = load_model(args.model_config, args.model_file, args.task)
    reports = [
        check(model, args.seed + i, args.keep, args.trials, getattr(model, "ctc", None))
        for i in range(args.structures)
    ]
    result = {
        "stacks": reports[0]["stacks"],
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
            f"{args.model_file}: the model gives values that are not finite"
        )
    if not (result["equal"] and result["params_match"]):
        raise UserError("masked and cut model are not the same function")
