# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A selection from the command line to its files, whatever the method."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, List

from espnet_prune.select.conf import read_conf
from espnet_prune.select.methods import Method, get_method
from espnet_prune.utils import UserError, check_gpus, sha256, write_json

# what says which data there is; methods that train nothing may use it, too
TOLD = ("reached", "ms")  # of the record, on stdout
_DATA = ("--train_", "--valid_", "--fold_length", "--dist_")


def check_extra(extra: List[str], method: Method) -> None:
    """Refuse options that nobody would read.

    Raises:
        UserError: An option that is neither ours nor about training data, for a method
            that trains nothing.
    """
    for option in extra:
        ours = (
            method.training or not option.startswith("--") or option.startswith(_DATA)
        )
        if not ours:
            raise UserError(
                f"unknown option {option}; method {method.name} trains nothing"
            )


def run(args: argparse.Namespace, extra: List[str]) -> None:
    """Select; see `espnet_prune.bin.select`.

    Args:
        args: What its parser knows.
        extra: Other words of the command line.

    Raises:
        UserError: Bad input, before any long work.
    """
    conf = read_conf(args)
    method = get_method(conf["method"])
    check_extra(extra, method)
    if method.training is None and os.environ.get("SLURM_PROCID", "0") != "0":
        return  # only a training can use several nodes
    if args.alone is not None:
        get_method(args.alone).alone(args, conf)
        return
    for name in ("config", "model_config", "model_file", "output_dir"):
        if getattr(args, name) is None:
            raise UserError(f"--{name} is missing; see --help")
    check_gpus(args.ngpu)
    import torch

    from espnet_prune.models import load_model
    from espnet_prune.select.plan import Plan

    torch.set_flush_denormal(True)
    model, config = load_model(args.model_config, args.model_file, args.task)
    carry_out(Plan.of(conf, model, config, args, extra))


def carry_out(plan: Any) -> None:
    """Make the selection that is planned, and write and print what it is.

    Raises:
        UserError: It cannot be done, or the output directory holds another structure.
    """
    from espnet_prune.measure.cost import cost, costs
    from espnet_prune.measure.duration import SECONDS
    from espnet_prune.select.correction import corrected

    args, dense = plan.options, plan.graph.dense
    plan.method.check(plan)
    logging.info(f"units of {args.model_config}:\n{plan.graph.summary()}")
    selection = corrected(plan, plan.method.run(plan))
    describe(selection, plan)
    structure = selection.structure
    folder = Path(args.output_dir)
    selection.save(folder)
    found = costs(structure, plan.config)
    write_json(found, folder / "cost.json")
    print(structure.summary(), file=sys.stderr)
    before, after = (cost(s, plan.frames) for s in (dense, structure))
    logging.info(
        f"params {before.params:,} -> {after.params:,}, "
        f"MACs of {SECONDS:g} s {before.macs:,} -> {after.macs:,}"
    )
    told = {key: selection.record[key] for key in TOLD if key in selection.record}
    print(json.dumps({**told, **found}))


def describe(selection: Any, plan: Any) -> None:
    """Complete the record of a selection: its budget and its origin; log the first."""
    import torch

    from espnet_prune import __version__
    from espnet_prune.select.budget import loosely_met

    record = selection.record
    if "reached" not in record:  # a method that counts by the budget
        structure = selection.structure
        shares, told = plan.reached(structure)
        record = {**told, **record}
        for target, share in zip(plan.budget, shares):
            logging.info(f"{target}: {share:.4f} removed")
        met = loosely_met(plan.budget, plan.graph.dense, structure, plan.round_to)
        for text in met:
            logging.warning(text)
    selection.record = {
        "method": plan.method.name,
        **record,
        "seed": plan.seed,
        "dense_model": str(plan.options.model_file),
        "dense_sha256": sha256(plan.options.model_file),
        "versions": {"espnet_prune": __version__, "torch": torch.__version__},
    }
