# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A selection of blocks from its configuration to its files."""

import argparse
import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from espnet_prune.data.speech import parse_entries
from espnet_prune.measure.cost import cost
from espnet_prune.measure.similarity.matrix_file import load_matrix
from espnet_prune.select.layers.asked import DECODER, Asked, asked
from espnet_prune.select.layers.attention import LOSSES, make_evaluator
from espnet_prune.select.layers.coarse import runs
from espnet_prune.select.layers.conf import LayersConf
from espnet_prune.select.layers.evaluator import Evaluator
from espnet_prune.select.layers.fan_out import FanOut
from espnet_prune.select.layers.search import (
    Found,
    candidates,
    expected_evaluations,
    search,
)
from espnet_prune.select.plan import Plan
from espnet_prune.select.selection import Selection
from espnet_prune.units.blocks import kept_after
from espnet_prune.utils import PathLike, UserError, atomic_write

TRIED = "tried.tsv"


def coarse_only(
    matrix_file: PathLike, num_remove: int, conf: LayersConf, seed: int = 0
) -> List[Dict[str, Any]]:
    """Search a stored matrix; no model is needed.

    Returns:
        [{"removed": block numbers 1-based, "score"}], the best first.

    Raises:
        UserError: The matrix is none, or `num_remove` is not below its depth.
    """
    matrix, _ = load_matrix(matrix_file)
    return [
        {"removed": list(found.removed), "score": found.score}
        for found in candidates(matrix, num_remove, conf, seed)
    ]


def print_candidates(args: argparse.Namespace, conf: Mapping[str, Any]) -> None:
    """Search a matrix and print what was found.

    Raises:
        UserError: No matrix or number, or a configuration of another method.
    """
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


def get_matrix(
    model: Any,
    config: Mapping[str, Any],
    model_file: PathLike,
    conf: LayersConf,
    output_dir: Path,
    seed: int,
) -> np.ndarray:
    """Load the similarity matrix, or measure it on training speech without labels.

    Raises:
        UserError: The file does not fit the model, or the data is missing.
    """
    number, name = len(model.encoder.encoders), f"similarity_{conf.measure}.npz"
    if conf.matrix:
        return load_matrix(conf.matrix, number)[0]
    for folder in (output_dir, Path(model_file).parent):
        if (folder / name).exists():
            matrix, about = load_matrix(folder / name, number)
            if _same_matrix(about, model_file, conf, seed):
                logging.info(f"similarity of layers from {folder / name}")
                return matrix
    from espnet_prune.measure.similarity.matrix_file import save_matrix
    from espnet_prune.measure.similarity.model import measure_model

    matrix, about = measure_model(
        model,
        config,
        measure=conf.measure,
        mode=conf.mode,
        num_utts=conf.num_utts,
        seed=seed,
    )
    about = {**about, **_origin(model_file, conf, seed)}
    save_matrix(output_dir / name, matrix, **about)
    return matrix


def _origin(model_file: PathLike, conf: LayersConf, seed: int) -> Dict[str, Any]:
    from espnet_prune.utils import sha256

    origin = {"model_file": str(model_file), "model_sha256": sha256(model_file)}
    return {**origin, "num_utts": conf.num_utts, "seed": seed}


def _same_matrix(
    about: Mapping[str, Any], model_file: PathLike, conf: LayersConf, seed: int
) -> bool:
    wanted = {**_origin(model_file, conf, seed), "mode": conf.mode}
    wanted.pop("model_file")
    return all(about.get(key) == value for key, value in wanted.items())


def write_candidates(found: Found, path: Path, loss: str) -> None:
    """Write the candidates table: rank, removed blocks, score, error, loss."""
    with atomic_write(path) as stream:
        stream.write(f"rank\tremoved\tscore\terror\t{loss}\n")
        for rank, row in enumerate(found.rows, start=1):
            values = [row.score, row.error, row.loss]
            texts = ["-" if value is None else f"{value:.6f}" for value in values]
            names = ",".join(map(str, row.removed))
            stream.write("\t".join([str(rank), names, *texts]) + "\n")


def run(plan: Plan) -> Selection:
    """Select whole blocks.

    Raises:
        UserError: See `asked` and `run_layers`.
    """
    wanted = asked(plan)
    if plan.options.ngpu > 0:
        plan.model.cuda()
    found, record = run_layers(plan, wanted)
    plan.model.cpu()
    blocks = plan.graph.dense[wanted.of].kept_blocks
    kept = [blocks[i] for i in kept_after(found.removed, len(blocks))]
    selection = Selection(plan.graph, {}, {wanted.of: kept}, record=record)
    both = (plan.graph.dense, selection.structure)
    full, left = (cost(s, part=wanted.of).params for s in both)
    record["reached"] = 1 - left / full
    return selection


def run_layers(plan: Plan, wanted: Asked) -> Tuple[Found, Dict[str, Any]]:
    """Search, and write what the search leaves: tables, pictures, the depth table.

    Args:
        plan: What is asked for; of its options output_dir, model_file, model_config,
            eval_data_path_and_name_and_type, cmd and nj.
        wanted: Which search, on which blocks, and how many go.

    Returns:
        What was found, and a record of it for structure.json.

    Raises:
        UserError: See `make_evaluator`, `get_matrix` and `search`.
    """
    model, config, args, seed = plan.model, plan.config, plan.options, plan.seed
    output_dir, conf, number = Path(args.output_dir), wanted.conf, wanted.number
    evaluator: Optional[Evaluator] = None
    dense_error, matrix = None, None
    if conf.needs_data:
        evaluator = make_evaluator(
            model,
            config,
            args.model_file,
            output_dir / TRIED,
            parse_entries(args.eval_data_path_and_name_and_type),
            metric=conf.metric,
            max_utts=conf.max_utts,
            cache_bytes=int(conf.cache_gb * 2**30),
            fan_out=_fan_out(args, wanted, output_dir),
            of=wanted.of,
        )
        dense_error = evaluator(()).error
        logging.info(f"all {number} blocks: {conf.metric} {100 * dense_error:.2f} %")
    if conf.search == "comflp":
        matrix = get_matrix(model, config, args.model_file, conf, output_dir, seed)
    count = wanted.num_remove
    rules = wanted.allowed, wanted.order or ()
    found = search(conf, count, number, evaluator, matrix, seed, *rules)
    most = expected_evaluations(conf, number, count)
    record: Dict[str, Any] = {
        **({"of": DECODER} if wanted.of == DECODER else {}),
        "search": conf.search,
        "removed": list(found.removed),
        "evaluations": found.evaluations,
        "expected_evaluations": most,
    }
    if evaluator is not None:
        result = evaluator(found.removed)  # known, but for sensitivity
        record.update(metric=conf.metric, dense_error=dense_error, error=result.error)
        text = (
            f"{conf.search}: removed {list(found.removed)}, {conf.metric} "
            f"{100 * result.error:.2f} % after {found.evaluations} evaluations"
        )
        if evaluator.fan_out is None:  # jobs count their own
            record["blocks_run"] = evaluator.blocks_run
            record["blocks_without_cache"] = evaluator.blocks_naive
            text += f"; {evaluator.blocks_run} blocks run, {evaluator.blocks_naive} "
            text += "without the cache"
        logging.info(text)
    write_candidates(found, output_dir / "candidates.tsv", LOSSES[wanted.of])
    _draw(found, matrix, dense_error, conf, number, output_dir)
    if conf.depth_table:
        _write_depths(model, found, evaluator, conf, config, args)
    return found, record


def _fan_out(
    args: argparse.Namespace, wanted: Asked, output_dir: Path
) -> Optional[FanOut]:
    if args.cmd is None or args.nj < 2:
        return None
    options = ["--model_config", args.model_config, "--model_file", args.model_file]
    conf = wanted.conf
    options += ["--metric", conf.metric, "--max_utts", str(conf.max_utts)]
    options += ["--of", wanted.of]
    for entry in args.eval_data_path_and_name_and_type or []:
        options += ["--eval_data_path_and_name_and_type", entry]
    return FanOut(args.cmd, args.nj, output_dir / "jobs", options)


def _draw(
    found: Found,
    matrix: Optional[np.ndarray],
    dense_error: Optional[float],
    conf: LayersConf,
    number: int,
    output_dir: Path,
) -> None:
    from espnet_prune.report.search_plots import heat_map, search_plot

    images = output_dir / "images"
    if matrix is not None:
        heat_map(matrix, images / "similarity.png", runs(found.removed))
    if any(row.error is not None for row in found.rows):
        search_plot(found, number, dense_error, conf.metric, images / "search.png")


def _write_depths(
    model: Any,
    found: Found,
    evaluator: Evaluator,
    conf: LayersConf,
    config: Mapping[str, Any],
    args: argparse.Namespace,
) -> None:
    """Write depth_table.json to the output directory and beside the model."""
    from espnet_prune.deploy.depth_table import NAME, DepthTable, measure_depths
    from espnet_prune.measure.duration import frames_of
    from espnet_prune.utils import sha256

    number = evaluator.number
    sets = {number: (), **{number - n: row.removed for n, row in found.path.items()}}
    errors = {
        depth: ([i + 1 for i in kept_after(removed, number)], evaluator(removed).error)
        for depth, removed in sets.items()
    }
    model.cpu()  # the milliseconds are those of one thread
    frames = frames_of(config)
    depths = measure_depths(model.encoder, errors, model.ctc, frames=frames)
    table = DepthTable(depths, number, frames=frames)
    about = {
        "model_file": str(args.model_file),
        "model_sha256": sha256(args.model_file),
        "metric": conf.metric,
        "max_utts": conf.max_utts,
        "search": conf.search,
    }
    path, beside = Path(args.output_dir) / NAME, DepthTable.beside(args.model_file)
    table.save(path, **about)
    if os.access(beside.parent, os.W_OK):
        table.save(beside, **about)
        path = beside
    else:
        logging.warning(f"{beside.parent} cannot be written: give --depth_table {path}")
    logging.info(f"depths, written to {path}:\n{table}")
