#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Cut a model to the result of a selection, check it, and write it.

Reads structure.json and masks.pth (and weights.pth, if the selection trained) from
--select_dir. Writes config.yaml, model.pth, structure.json, cost.json and verify.json
to --output_dir, or nothing if the cut model does not equal the masked one.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

from espnet_prune.utils import (
    UserError,
    load_tensors,
    read_json,
    run_main,
    setup_logging,
    sha256,
    write_json,
    write_yaml,
)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_config", required=True, help="dense config.yaml")
    parser.add_argument("--model_file", required=True, help="dense checkpoint")
    parser.add_argument("--select_dir", required=True, help="result of select")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument(
        "--trials", type=int, default=16, help="random batches of the equality check"
    )
    parser.add_argument(
        "--refresh_batches",
        type=int,
        default=50,
        help="training batches for the batch norm statistics; 0 keeps them",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the check")
    return parser


def costs(structure: Any, model: Any = None) -> Dict[str, Any]:
    """Return the content of cost.json."""
    from espnet_prune.measure.cost import cost

    found = {"encoder_params": cost(structure).params}
    for seconds in (10, 30):
        found[f"gmacs_{seconds}s"] = cost(structure, 100 * seconds).macs / 1e9
    if model is not None:
        found["total_params"] = sum(p.numel() for p in model.parameters())
    return found


def check_output(output_dir: Path, structure: Any) -> None:
    """Refuse to write over the model of another structure.

    Raises:
        UserError: `output_dir` holds another structure.
    """
    from espnet_prune.structure import Structure

    path = output_dir / "structure.json"
    if path.exists() and Structure.load(path).widths() != structure.widths():
        raise UserError(
            f"{output_dir} holds a model of another structure; remove it or choose "
            "another --output_dir"
        )


def refresh_norms(model: Any, config: Dict[str, Any], limit: int) -> int:
    """Re-estimate batch norm on the training data that the config names."""
    from espnet_prune.cutting.batch_norm import has_norms, refresh, training_batches

    if not has_norms(model):
        return 0
    needed = config.get("train_data_path_and_name_and_type") or []
    missing = [str(entry[0]) for entry in needed if not Path(entry[0]).exists()]
    if limit <= 0 or not needed or missing:
        if limit > 0:
            logging.warning(
                f"Batch norm statistics kept: no training data {', '.join(missing)}"
            )
        return 0
    args = argparse.Namespace(**{**config, "num_workers": 0, "distributed": False})
    return refresh(model, training_batches(args), limit)


def write_cut(
    model: Any,
    config: Dict[str, Any],
    dense: Any,
    structure: Any,
    output_dir: Path,
    report: Dict[str, Any],
    provenance: Dict[str, Any],
) -> None:
    """Write a cut model as an ESPnet experiment, and load it again.

    Args:
        model: The model with its cut encoder.
        config: config.yaml of the dense model.
        dense: Structure of the dense encoder.
        structure: Structure of the cut encoder.
        output_dir: Where config.yaml, model.pth and the JSON files go.
        report: Content of verify.json.
        provenance: What structure.json says of its origin.
    """
    from espnet_prune.cutting.stock import encoder_config
    from espnet_prune.models import load_model, save_model

    config = dict(config)
    config["encoder"], config["encoder_conf"] = encoder_config(
        config["encoder"], config.get("encoder_conf") or {}, dense, structure
    )
    report["encoder"] = config["encoder"]
    # what was only for training the dense model must not be repeated by a reader
    config.update(init_param=[], output_dir=str(output_dir))
    output_dir.mkdir(parents=True, exist_ok=True)
    save_model(model, output_dir / "model.pth")
    write_yaml(config, output_dir / "config.yaml")
    load_model(output_dir / "config.yaml", output_dir / "model.pth")
    write_json(costs(structure, model), output_dir / "cost.json")
    structure.save(output_dir / "structure.json", **provenance)
    write_json(report, output_dir / "verify.json")


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    import torch

    from espnet_prune import Structure, cut, unit_graph
    from espnet_prune.cutting.verify import compare, require_equal
    from espnet_prune.models import load_model

    torch.set_flush_denormal(True)
    select_dir, output_dir = Path(args.select_dir), Path(args.output_dir)
    structure = Structure.load(select_dir / "structure.json")
    check_output(output_dir, structure)
    masks = load_tensors(select_dir / "masks.pth")
    provenance = read_json(select_dir / "structure.json").get("provenance", {})
    if provenance.get("dense_sha256") not in (None, sha256(args.model_file)):
        raise UserError(
            f"--select_dir {select_dir} was selected from another model than "
            f"{args.model_file}; give the model that it names "
            f"({provenance.get('dense_model')})"
        )
    weights = select_dir / "weights.pth"
    model_file = weights if weights.exists() else Path(args.model_file)
    model, config = load_model(args.model_config, model_file)

    graph = unit_graph(model.encoder)
    small = cut(model.encoder, structure, masks)
    structure = Structure.dense(small)  # the heads that stay are named now
    report = compare(
        model.encoder, graph, masks, small, args.trials, args.seed, model.ctc
    )
    require_equal(report)
    logging.info(f"masked = cut: max |difference| {report['max_abs_diff']:.2e}")
    model.encoder = small
    report["refreshed_batches"] = refresh_norms(model, config, args.refresh_batches)
    write_cut(model, config, graph.dense, structure, output_dir, report, provenance)
    print(structure.summary(), file=sys.stderr)
    print(json.dumps({**costs(structure, model), "verify": report["max_abs_diff"]}))


if __name__ == "__main__":
    run_main(main)
