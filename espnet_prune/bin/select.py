#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decide what stays of a model, within a budget, by one of several methods.

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
    {of: model, kind: params, sparsity: 0.5}       # of encoder, decoder and all else
    {kind: params, front: 0.4, blocks: 0.6}        # convolutional front end, the rest
    [{kind: params, sparsity: 0.5}, {kind: macs, sparsity: 0.5}]    # all at once
    {kind: ms, limit: 40}                          # milliseconds of the encoder
    {kind: ms, sparsity: 0.5, threads: 2, seconds: 30}              # half of them
Milliseconds are counted by the table of --latency, by default one that is measured in
the output directory (see espnet-prune latency). What is selected is measured beside the
dense encoder, and selected again until the limit holds within 3 %.
A part that no target covers is left whole. Method layers takes the first form only, of
the encoder or, with {of: decoder}, of the decoder; num_remove goes with it, too.

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
from typing import List, Optional

from espnet_prune.model_args import with_model
from espnet_prune.select.conf import add_options
from espnet_prune.select.methods import methods
from espnet_prune.select.run import run
from espnet_prune.utils import run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    known = "\n".join(f"    {m.name:<10}  {m.help}" for m in methods())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nMethods:\n{known}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args, extra = get_parser().parse_known_args(cmd)
    setup_logging()
    run(with_model(args), extra)


if __name__ == "__main__":
    run_main(main)
