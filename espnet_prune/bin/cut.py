#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Cut a model to the result of a selection, check it, and write it.

Reads structure.json and masks.pth (and weights.pth, if the selection trained) from
--select_dir. Writes config.yaml, model.pth, structure.json, cost.json and verify.json
to --output_dir, or nothing if the model that was written does not equal the masked one.
Both run in float64, with the same batch norm statistics.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

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

UTTERANCES = 8  # training utterances in one of --refresh_batches


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
        help=f"draws of {UTTERANCES} training utterances for the batch norm "
        "statistics, which are kept as they are with 0, or if the loss on the "
        "development data gets worse, or without such data (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the check and of what is drawn"
    )
    return parser


def costs(
    structure: Any, config: Mapping[str, Any], model: Any = None
) -> Dict[str, Any]:
    """Return the content of cost.json.

    Args:
        structure: What is priced.
        config: config.yaml of its model, for the frames of some seconds.
        model: The whole model, if there is one.
    """
    from espnet_prune.measure.cost import cost
    from espnet_prune.measure.duration import frames_of

    found: Dict[str, Any] = {"encoder_params": cost(structure).params}
    for seconds in (10, 30):
        frames = frames_of(config, seconds)
        found[f"frames_{seconds}s"] = frames
        found[f"gmacs_{seconds}s"] = cost(structure, frames).macs / 1e9
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
        model: The model with its cut encoder.
        config: config.yaml of the dense model.
        dense: Structure of the dense encoder.
        structure: Structure of the cut encoder.
        output_dir: Where config.yaml, model.pth and the JSON files go.
        prove: Compares an encoder with the masked one; see `verify.compare`.
        provenance: What structure.json says of its origin.

    Returns:
        The content of verify.json.

    Raises:
        UserError: The two are not equal; nothing was written.
    """
    from espnet_prune.cutting.stock import encoder_config
    from espnet_prune.cutting.verify import require_equal
    from espnet_prune.models import load_model, save_model

    config = dict(config)
    config["encoder"], config["encoder_conf"] = encoder_config(
        config["encoder"], config.get("encoder_conf") or {}, dense, structure
    )
    # what was only for training the dense model must not be repeated by a reader
    config.update(init_param=[], output_dir=str(output_dir))
    new = not output_dir.exists()
    output_dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".cut.") as folder:
            files = [Path(folder) / name for name in ("model.pth", "config.yaml")]
            save_model(model, files[0])
            write_yaml(config, files[1])
            report = prove(load_model(files[1], files[0])[0].encoder)
            require_equal(report)
            report = {"file": files[0].name, "sha256": sha256(files[0]), **report}
            for path in files:
                os.replace(path, output_dir / path.name)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):  # it may not be empty
                output_dir.rmdir()
        raise
    report["encoder"] = config["encoder"]
    write_json(costs(structure, config, model), output_dir / "cost.json")
    structure.save(output_dir / "structure.json", **provenance)
    write_json(report, output_dir / "verify.json")
    logging.info(
        f"masked = cut: what was written differs by {report['relative_diff']:.1e} of "
        "the largest output"
    )
    return report


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    import torch

    from espnet_prune import Structure, cut, unit_graph
    from espnet_prune.cutting.batch_norm import hand_back, refresh_if_better
    from espnet_prune.cutting.verify import compare
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

    encoder, graph = model.encoder, unit_graph(model.encoder)
    small = cut(encoder, structure, masks)
    structure = Structure.dense(small)  # the heads that stay are named now
    model.encoder, kept = small, structure.kept_blocks
    most = UTTERANCES * args.refresh_batches
    norms = refresh_if_better(model, config, most, args.seed)
    hand_back(small, encoder, graph, masks, kept)

    def prove(written: Any) -> Dict[str, Any]:
        found = compare(
            encoder, graph, masks, written, args.trials, args.seed, model.ctc, kept
        )
        done = args.refresh_batches if norms["refreshed"] else 0
        return {**found, "refreshed_batches": done, "batch_norm": norms}

    report = write_cut(
        model, config, graph.dense, structure, output_dir, prove, provenance
    )
    print(structure.summary(), file=sys.stderr)
    found = costs(structure, config, model)
    print(json.dumps({**found, "verify": report["relative_diff"]}))


if __name__ == "__main__":
    run_main(main)
