#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decide what stays: L0 gates trained to a budget, or the magnitude baseline.

The YAML of --config:

    method: l0                  # or magnitude
    budget: {kind: params, sparsity: 0.5}   # or macs; frames: 1000 (10 s)
    units: [head, ffn_unit, conv_channel, subsampling_channel, module]
    round_to: 1                 # keep multiples of this many units
    l0_conf: {ramp_steps: 500}  # l0 only: see espnet_prune.Gates
    distill_conf: {}            # l0 only: losses against the dense model; absent: none
    train_conf: {max_epoch: 20} # l0 only: options of ESPnet's training

Other options on the command line go to the training (data, shape files, ngpu, ...).
Writes structure.json, masks.pth, cost.json and, for l0, select.jsonl, weights.pth and
the training in train/. A killed selection goes on where it was.
"""

import argparse
import dataclasses
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_prune.bin.cut import check_output, costs
from espnet_prune.utils import (
    UserError,
    atomic_torch_save,
    atomic_write,
    check_keys,
    load_tensors,
    read_yaml,
    run_main,
    setup_logging,
    sha256,
    write_json,
    write_yaml,
)

METHODS = {
    "l0": ("l0_conf", "distill_conf", "train_conf"),
    "magnitude": (),
}
COMMON = ("method", "budget", "units", "round_to", "seed")


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="YAML, see above")
    parser.add_argument("--model_config", required=True, help="dense config.yaml")
    parser.add_argument("--model_file", required=True, help="dense checkpoint")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--seed", type=int, help="overrides the YAML")
    parser.add_argument("--sparsity", type=float, help="overrides the YAML's budget")
    return parser


def read_conf(args: argparse.Namespace) -> Dict[str, Any]:
    """Read and check the YAML.

    Raises:
        UserError: Unknown method or key.
    """
    conf = read_yaml(args.config)
    if not isinstance(conf, dict):
        raise UserError(f"{args.config}: not a mapping of keys to values")
    method = conf.setdefault("method", "l0")
    check_keys([method], METHODS, f"{args.config}: method")
    check_keys(conf, COMMON + METHODS[method], args.config)
    budget = dict(conf.get("budget") or {})
    if args.sparsity is not None:
        budget["sparsity"] = args.sparsity
    conf["budget"] = budget
    if args.seed is not None:
        conf["seed"] = args.seed
    conf.setdefault("seed", 0)
    return conf


def gate_conf(conf: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the arguments of `attach_gates` that the YAML means."""
    own = dict(conf.get("l0_conf") or {})
    own["budget"] = dict(conf["budget"])
    own["seed"] = conf["seed"]
    for key in ("units", "round_to"):
        if key in conf:
            own[key] = conf[key]
    return own


def check_feasible(model: Any, conf: Mapping[str, Any]) -> None:
    """Find out before any long work that the budget cannot be met.

    Raises:
        UserError: See `espnet_prune.select.budget` and `Gates`.
    """
    from espnet_prune import attach_gates, unit_graph
    from espnet_prune.select.budget import UNIT_KINDS, Budget, check_reachable

    budget = Budget.from_conf(conf["budget"])
    units = tuple(conf.get("units") or UNIT_KINDS)
    check_reachable(unit_graph(model.encoder), units, budget)
    if conf["method"] == "l0":
        attach_gates(model.encoder, **gate_conf(conf)).detach_hooks()


def train(args: argparse.Namespace, conf: Mapping[str, Any], extra: List[str]) -> Path:
    """Train the gates with the weights; return the directory of the training."""
    from espnet_prune.bin.asr_train import main as asr_train

    output_dir = Path(args.output_dir) / "train"
    own = dict(conf.get("train_conf") or {})
    own["l0_conf"] = gate_conf(conf)
    own["seed"] = conf["seed"]
    options = ["--base_config", args.model_config, "--init_param", args.model_file]
    if conf.get("distill_conf") is not None:
        own["distill_conf"] = conf["distill_conf"]
        options += ["--teacher_config", args.model_config]
        options += ["--teacher_model", args.model_file]
    config = Path(args.output_dir) / "train.yaml"
    write_yaml(own, config)
    options += ["--config", str(config), "--output_dir", str(output_dir)]
    asr_train([*options, "--resume", "true", *extra])
    return output_dir


def finish_l0(train_dir: Path, output_dir: Path) -> Tuple[Any, Dict[str, Any]]:
    """Project trained gates to the budget; return the Structure and the masks."""
    from espnet_prune.train.task import load_gated

    _, gates = load_gated(train_dir)
    # the ramp may end beyond the last step; the budget asked for is what counts
    gates.lagrangian.step.fill_(float(gates.lagrangian.ramp_steps))
    structure, masks = gates.structure(), gates.masks()
    reached = float(gates.sparsity().detach())
    logging.info(
        f"expected sparsity {reached:.4f}, target {gates.lagrangian.final_target}"
    )
    atomic_torch_save(
        load_tensors(train_dir / "weights.pth"), output_dir / "weights.pth"
    )
    with open(train_dir / "select.jsonl", encoding="utf-8") as source:
        with atomic_write(output_dir / "select.jsonl") as stream:
            shutil.copyfileobj(source, stream)
    return structure, masks


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args, extra = get_parser().parse_known_args(cmd)
    conf = read_conf(args)
    setup_logging()
    import torch

    from espnet_prune import __version__, unit_graph
    from espnet_prune.measure.cost import cost
    from espnet_prune.models import load_model
    from espnet_prune.select.budget import UNIT_KINDS, Budget

    torch.set_flush_denormal(True)
    output_dir = Path(args.output_dir)
    model, _ = load_model(args.model_config, args.model_file)
    check_feasible(model, conf)
    graph = unit_graph(model.encoder)
    logging.info(f"units of {args.model_config}:\n{graph.summary()}")
    budget = Budget.from_conf(conf["budget"])
    if conf["method"] == "l0":
        structure, masks = finish_l0(train(args, conf, extra), output_dir)
    else:
        from espnet_prune.select.magnitude import magnitude

        units = tuple(conf.get("units") or UNIT_KINDS)
        masks = magnitude(model.encoder, graph, budget, units, conf.get("round_to", 1))
        structure = graph.structure(masks)

    dense, kept = cost(graph.dense, budget.frames), cost(structure, budget.frames)
    reached = 1 - getattr(kept, budget.kind) / getattr(dense, budget.kind)
    check_output(output_dir, structure)
    atomic_torch_save({k: v.cpu() for k, v in masks.items()}, output_dir / "masks.pth")
    write_json(costs(structure), output_dir / "cost.json")
    structure.save(
        output_dir / "structure.json",
        method=conf["method"],
        budget=dataclasses.asdict(budget),
        reached=reached,
        seed=conf["seed"],
        dense_model=str(args.model_file),
        dense_sha256=sha256(args.model_file),
        versions={"espnet_prune": __version__, "torch": torch.__version__},
    )
    print(structure.summary(), file=sys.stderr)
    logging.info(
        f"{budget.kind}: {reached:.4f} removed, {budget.sparsity} asked for; "
        f"params {dense.params:,} -> {kept.params:,}, "
        f"MACs {dense.macs:,} -> {kept.macs:,}"
    )
    print(json.dumps({"reached": reached, **costs(structure)}))


if __name__ == "__main__":
    run_main(main)
