# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From a selection to a cut model's files, written only if it proves equal."""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import torch

from espnet_prune.cutting.batch_norm import hand_back, refresh_if_better
from espnet_prune.cutting.cutter import cut
from espnet_prune.cutting.stock import stack_configs
from espnet_prune.cutting.verify import compare, require_equal
from espnet_prune.families import name_in, unit_graph
from espnet_prune.measure.cost import costs
from espnet_prune.models import load_model, save_model
from espnet_prune.select.plan import root_in
from espnet_prune.select.selection import (
    STRUCTURE,
    Selection,
    check_output,
    weights_of,
)
from espnet_prune.structure import Structure
from espnet_prune.utils import sha256, write_json, write_yaml

UTTERANCES = 8  # training utterances in one draw for the batch norm statistics


def write_cut(
    model: Any,
    config: Dict[str, Any],
    dense: Any,
    structure: Any,
    output_dir: Path,
    prove: Callable[[Any], Dict[str, Any]],
    provenance: Dict[str, Any],
) -> Dict[str, Any]:
    """Write a cut model as an ESPnet experiment, if what was written proves equal.

    The files are written beside their places, loaded again as ESPnet would build them,
    compared, and only then put in their places.

    Args:
        model: The model with its cut encoder, or all of whose stacks are cut.
        config: config.yaml of the dense model.
        dense: Structure of the encoder, or model, before the cut.
        structure: Structure of what was cut.
        output_dir: Where config.yaml, model.pth and the JSON files go.
        prove: Compares what was cut with the masked one; see `verify.compare`.
        provenance: What structure.json says of its origin.

    Returns:
        The content of verify.json.

    Raises:
        UserError: The two are not equal; nothing was written.
    """
    config = dict(config)
    config.update(stack_configs(config, dense, structure))
    # what was only for training the dense model must not be repeated by a reader
    config.update(init_param=[], output_dir=str(output_dir))
    new = not output_dir.exists()
    output_dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".cut.") as folder:
            files = [Path(folder) / name for name in ("model.pth", "config.yaml")]
            save_model(model, files[0])
            write_yaml(config, files[1])
            report = prove(root_in(load_model(files[1], files[0])[0], structure))
            require_equal(report)
            report = {"file": files[0].name, "sha256": sha256(files[0]), **report}
            for path in files:
                os.replace(path, output_dir / path.name)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):  # it may not be empty
                output_dir.rmdir()
        raise
    report["encoder"] = name_in(config)
    write_json(costs(structure, config, model), output_dir / "cost.json")
    structure.save(output_dir / "structure.json", **provenance)
    write_json(report, output_dir / "verify.json")
    logging.info(
        f"masked = cut: what was written differs by {report['relative_diff']:.1e} of "
        "the largest output"
    )
    return report


def run(args: argparse.Namespace) -> None:
    """Cut a model to a selection; see `espnet_prune.bin.cut`.

    Args:
        args: Its command line.

    Raises:
        UserError: The selection does not fit, or masked and cut differ.
    """
    torch.set_flush_denormal(True)
    select_dir, output_dir = Path(args.select_dir), Path(args.output_dir)
    check_output(output_dir, Structure.load(select_dir / STRUCTURE))
    model_file = weights_of(select_dir, args.model_file)
    model, config = load_model(args.model_config, model_file, args.task)
    root = root_in(model, Structure.load(select_dir / STRUCTURE))
    selection = Selection.load(select_dir, unit_graph(root))
    how = args.trials, args.refresh_batches, args.seed
    small, report = write_selection(selection, model, config, output_dir, *how)
    structure = Structure.dense(root_in(small, selection.structure))
    print(structure.summary(), file=sys.stderr)
    found = costs(structure, config, small)
    print(json.dumps({**found, "verify": report["relative_diff"]}))


def write_selection(
    selection: Selection,
    model: Any,
    config: Dict[str, Any],
    output_dir: Path,
    trials: int = 16,
    refresh_batches: int = 0,
    seed: int = 0,
) -> Tuple[Any, Dict[str, Any]]:
    """Cut a model to a selection in memory, prove it, and write it; see `write_cut`.

    Args:
        selection: What stays; its weights, if it has some, replace the model's.
        model: The dense model, which is used up.
        config: Its config.yaml.
        output_dir: Where the files go.
        trials: Random batches of the proof.
        refresh_batches: Draws of training utterances for the batch norm statistics.
        seed: Seed of the proof and of what is drawn.

    Returns:
        The cut model, and the content of verify.json.

    Raises:
        UserError: Masked and cut differ; nothing was written.
    """
    if selection.weights is not None:
        model.load_state_dict(selection.weights)
    graph, masks, structure = selection.graph, selection.masks, selection.structure
    root = root_in(model, structure)
    small = cut(root, structure, masks)
    structure = Structure.dense(small)  # the heads that stay are named now
    kept = {name: stack.kept_blocks for name, stack in structure.own.items()}
    if root is model:
        taken = small
    else:
        model.encoder, taken = small, model
    norms = refresh_if_better(taken, config, UTTERANCES * refresh_batches, seed)
    hand_back(small, root, graph, masks, kept["encoder"])

    def prove(written: Any) -> Dict[str, Any]:
        found = compare(root, graph, masks, written, trials, seed, taken.ctc, kept)
        done = refresh_batches if norms["refreshed"] else 0
        return {**found, "refreshed_batches": done, "batch_norm": norms}

    record = selection.record
    return taken, write_cut(
        taken, config, graph.dense, structure, output_dir, prove, record
    )
