#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decide what stays: L0 gates trained to a budget, whole blocks, or by magnitude.

The YAML of --config:

    method: l0                  # or layers, or magnitude
    budget: {kind: params, sparsity: 0.5}   # or macs; see below
    units: [head, ffn_unit, conv_channel, cgmlp_channel, subsampling_channel, module]
    round_to: 1                 # keep multiples of this many units
    l0_conf: {ramp_steps: 500}  # l0 only: see espnet_prune.Gates
    distill_conf: {}            # l0 only: losses against the dense model; absent: none
    train_conf: {max_epoch: 20} # l0 only: options of ESPnet's training

    method: layers
    num_remove: 6               # or a budget
    layers_conf:
        search: comflp          # iterative (greedy), sensitivity, exhaustive,
                                # truncate, alternate, random
        coarse: exact           # comflp: beam, exhaustive, random
        max_evaluations: 12     # comflp with refine, in all
        depth_table: false      # iterative: write depth_table.json beside the model

Forms of the budget, each an upper bound on what stays; MACs are counted for `frames`
input frames, by default those that the model makes of 10 s (1000 at a hop of 10 ms):
    {kind: macs, sparsity: 0.5, frames: 1000}      # of the whole encoder
    {kind: params, cnn: 0.4, transformer: 0.6}     # convolutional front end, the rest
    [{kind: params, sparsity: 0.5}, {kind: macs, sparsity: 0.5}]    # all at once
A part that no target covers is left whole. Method layers takes the first form only.

A training of gates whose ramp would not be over at its end is refused. One whose gates
are more than 0.01 short of the budget in the end goes on until they are there, for at
most extra_steps of l0_conf.

Other options on the command line go to the training (data, shape files, ngpu, ...).
Writes structure.json, masks.pth, cost.json and, for l0, select.jsonl, weights.pth and
the training in train/; for layers tried.tsv, candidates.tsv, the similarity matrix and
images/. A killed selection goes on where it was.

With --coarse_only a stored matrix is searched, without any model:
    select --matrix similarity.npz --num_remove 6 --top_k 10 --coarse_only --json
"""

import argparse
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from espnet_prune.bin.cut import check_output, costs
from espnet_prune.select.conf import gate_conf, read_conf
from espnet_prune.utils import (
    UserError,
    atomic_torch_save,
    atomic_write,
    check_gpus,
    load_tensors,
    run_main,
    setup_logging,
    sha256,
    write_json,
    write_yaml,
)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", help="YAML, see above")
    parser.add_argument("--model_config", help="dense config.yaml")
    parser.add_argument("--model_file", help="dense checkpoint")
    parser.add_argument("--output_dir")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs; layers uses one")
    parser.add_argument("--seed", type=int, help="overrides the YAML")
    parser.add_argument(
        "--sparsity",
        type=float,
        help="overrides that of the YAML's budget of the whole encoder",
    )
    group = parser.add_argument_group("method: layers")
    group.add_argument("--num_remove", type=int, help="overrides the YAML")
    group.add_argument("--search", help="overrides the YAML")
    group.add_argument("--matrix", help="similarity of layers, .npy or .npz")
    group.add_argument("--top_k", type=int, help="candidates of the coarse search")
    group.add_argument(
        "--coarse_only", action="store_true", help="print candidates of --matrix"
    )
    group.add_argument("--json", action="store_true", help="print them as JSON")
    group.add_argument(
        "--eval_data_path_and_name_and_type",
        action="append",
        help="what judges, as in ESPnet; default: the model's validation data",
    )
    group.add_argument(
        "--cmd", help="launcher of parallel jobs, as espnet_prune.bin.run"
    )
    group.add_argument("--nj", type=int, default=1, help="parallel jobs")
    return parser


def check_feasible(model: Any, conf: Mapping[str, Any]) -> None:
    """Find out before any long work that the budget cannot be met.

    Raises:
        UserError: See `espnet_prune.select.budget` and `Gates`.
    """
    from espnet_prune import attach_gates, unit_graph
    from espnet_prune.select.budget import Budget, check_reachable, unit_kinds

    budget = Budget.from_conf(conf["budget"])
    units = unit_kinds(conf.get("units"))
    round_to = conf.get("round_to", 1)
    check_reachable(unit_graph(model.encoder), units, budget, round_to)
    if conf["method"] == "l0":
        attach_gates(model.encoder, **gate_conf(conf)).detach_hooks()


def train(args: argparse.Namespace, conf: Mapping[str, Any], extra: List[str]) -> Path:
    """Train the gates with the weights; return the directory of the training.

    Raises:
        SystemExit: In all but the first of several processes; that one goes on.
    """
    from espnet_prune.bin.asr_train import main as asr_train
    from espnet_prune.train.ranks import is_main

    output_dir = Path(args.output_dir) / "train"
    own = {**(conf.get("train_conf") or {}), "l0_conf": gate_conf(conf)}
    own["seed"] = conf["seed"]
    options = ["--base_config", args.model_config, "--init_param", args.model_file]
    if conf.get("distill_conf") is not None:
        own["distill_conf"] = conf["distill_conf"]
        options += ["--teacher_config", args.model_config]
        options += ["--teacher_model", args.model_file]
    config = Path(args.output_dir) / "train.yaml"
    write_yaml(own, config)
    options += ["--config", str(config), "--output_dir", str(output_dir)]
    options += ["--ngpu", str(args.ngpu), "--resume", "true"]
    options += ["--multiprocessing_distributed", "true"]
    if not is_main(asr_train([*options, *extra])):
        sys.exit(0)
    return output_dir


def finish_l0(
    train_dir: Path, output_dir: Path
) -> Tuple[Any, Dict[str, Any], Dict[str, Any]]:
    """Project trained gates to the budget; return Structure, masks and a record."""
    from espnet_prune.train.task import load_gated

    _, gates = load_gated(train_dir)
    steps = int(gates.lagrangian.step)
    # the ramp may end beyond the last step; the budget asked for is what counts
    gates.lagrangian.step.fill_(float(gates.lagrangian.ramp_steps))
    structure, masks = gates.structure(), gates.masks()
    expected = gates.sparsity().tolist()
    for target, share in zip(gates.budget, expected):
        logging.info(f"{target}: {share:.4f} expected by the gates")
    behind = gates.behind()
    if behind:
        logging.warning(
            f"The gates have not come to the budget in {steps} steps ({behind}). The "
            "rest goes in the order of the gates, without training: train longer "
            "(max_epoch), or raise extra_steps of l0_conf"
        )
    record = {"steps": steps, "expected": gates.budget.keyed(expected)}
    atomic_torch_save(
        load_tensors(train_dir / "weights.pth"), output_dir / "weights.pth"
    )
    with open(train_dir / "select.jsonl", encoding="utf-8") as source:
        with atomic_write(output_dir / "select.jsonl") as stream:
            shutil.copyfileobj(source, stream)
    return structure, masks, record


def select_widths(
    args: argparse.Namespace, conf: Dict[str, Any], model: Any, extra: List[str]
) -> Tuple[Any, Dict[str, Any], Dict[str, Any]]:
    """Select units by gates or by magnitude; return Structure, masks and a record."""
    from espnet_prune import unit_graph
    from espnet_prune.select.budget import Budget, loosely_met, unit_kinds
    from espnet_prune.select.magnitude import magnitude

    check_feasible(model, conf)
    graph = unit_graph(model.encoder)
    logging.info(f"units of {args.model_config}:\n{graph.summary()}")
    budget, record = Budget.from_conf(conf["budget"]), {}
    if conf["method"] == "l0":
        structure, masks, record = finish_l0(
            train(args, conf, extra), Path(args.output_dir)
        )
    else:
        units, round_to = unit_kinds(conf.get("units")), conf.get("round_to", 1)
        masks = magnitude(model.encoder, graph, budget, units, round_to)
        structure = graph.structure(masks)
    reached = budget.reached(graph.dense, structure)
    for target, share in zip(budget, reached):
        logging.info(f"{target}: {share:.4f} removed")
    for text in loosely_met(budget, graph.dense, structure, conf.get("round_to", 1)):
        logging.warning(text)
    shares = {"budget": budget.conf(), "reached": budget.keyed(reached)}
    return structure, masks, {**shares, **record}


def select_blocks(
    args: argparse.Namespace, conf: Dict[str, Any], model: Any, model_conf: Any
) -> Tuple[Any, Dict[str, Any], Dict[str, Any]]:
    """Select whole blocks; return Structure, masks that are all open, and a record."""
    from espnet_prune import unit_graph
    from espnet_prune.measure.cost import cost
    from espnet_prune.select.layers.conf import LayersConf
    from espnet_prune.select.layers.run import number_to_remove, run_layers
    from espnet_prune.units.blocks import kept_after
    from espnet_prune.units.narrow import most_removable

    graph = unit_graph(model.encoder)
    own = LayersConf.from_dict(conf["layers_conf"])
    most = most_removable(model.encoder)
    count = number_to_remove(graph.dense, conf.get("num_remove"), conf["budget"], most)
    if args.ngpu > 0:
        model.cuda()
    found, record = run_layers(model, model_conf, own, count, args, conf["seed"])
    model.cpu()
    blocks = graph.dense.kept_blocks
    kept = [blocks[i] for i in kept_after(found.removed, len(blocks))]
    structure = graph.dense.with_widths({"kept_blocks": kept})
    record["reached"] = 1 - cost(structure).params / cost(graph.dense).params
    return structure, graph.close({}), record


def check_extra(extra: List[str], method: str) -> None:
    """Refuse options that nobody would read.

    Raises:
        UserError: An option that is neither ours nor about training data, for a method
            that trains nothing.
    """
    data = ("--train_", "--valid_", "--fold_length", "--dist_")
    for option in extra:
        if method != "l0" and option.startswith("--") and not option.startswith(data):
            raise UserError(f"unknown option {option}; method {method} trains nothing")


def print_candidates(args: argparse.Namespace, conf: Mapping[str, Any]) -> None:
    """Search a matrix and print what was found.

    Raises:
        UserError: No matrix or number, or a method that has none.
    """
    from espnet_prune.select.layers.conf import LayersConf
    from espnet_prune.select.layers.run import coarse_only

    if conf["method"] != "layers":
        raise UserError(f"--coarse_only goes with method layers, not {conf['method']}")
    own = LayersConf.from_dict(conf["layers_conf"])
    if own.matrix is None or conf.get("num_remove") is None:
        raise UserError("--coarse_only needs --matrix FILE and --num_remove NUMBER")
    rows = coarse_only(own.matrix, conf["num_remove"], own, conf["seed"])
    if args.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['score']:.6f}  {' '.join(map(str, row['removed']))}")


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args, extra = get_parser().parse_known_args(cmd)
    conf = read_conf(args)
    check_extra(extra, conf["method"])
    setup_logging()
    if conf["method"] != "l0" and os.environ.get("SLURM_PROCID", "0") != "0":
        return  # only a training can use several nodes
    if args.coarse_only:
        print_candidates(args, conf)
        return
    for name in ("config", "model_config", "model_file", "output_dir"):
        if getattr(args, name) is None:
            raise UserError(f"--{name} is missing; see --help")
    check_gpus(args.ngpu)
    import torch

    from espnet_prune import Structure, __version__
    from espnet_prune.measure.cost import cost
    from espnet_prune.measure.duration import SECONDS, frames_of
    from espnet_prune.models import load_model
    from espnet_prune.select.budget import with_frames

    torch.set_flush_denormal(True)
    output_dir = Path(args.output_dir)
    model, model_conf = load_model(args.model_config, args.model_file)
    frames = frames_of(model_conf)
    conf["budget"] = with_frames(conf["budget"], frames)
    dense = cost(Structure.dense(model.encoder), frames)
    if conf["method"] == "layers":
        structure, masks, record = select_blocks(args, conf, model, model_conf)
    else:
        structure, masks, record = select_widths(args, conf, model, extra)
    check_output(output_dir, structure)
    atomic_torch_save({k: v.cpu() for k, v in masks.items()}, output_dir / "masks.pth")
    found = costs(structure, model_conf)
    write_json(found, output_dir / "cost.json")
    structure.save(
        output_dir / "structure.json",
        method=conf["method"],
        **record,
        seed=conf["seed"],
        dense_model=str(args.model_file),
        dense_sha256=sha256(args.model_file),
        versions={"espnet_prune": __version__, "torch": torch.__version__},
    )
    kept = cost(structure, frames)
    print(structure.summary(), file=sys.stderr)
    logging.info(
        f"params {dense.params:,} -> {kept.params:,}, "
        f"MACs of {SECONDS:g} s {dense.macs:,} -> {kept.macs:,}"
    )
    print(json.dumps({"reached": record["reached"], **found}))


if __name__ == "__main__":
    run_main(main)
