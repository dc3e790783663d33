#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write one depth of a model as a model of its own, without any training.

With --depth the blocks are those of the depth table, with --keep_blocks those given.
The result is a stock ESPnet model, which plain ESPnet loads, unless its blocks differ
in size. Writes config.yaml, model.pth, structure.json, cost.json and verify.json.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import (
    UserError,
    command_parser,
    run_main,
    setup_logging,
    sha256,
)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_argument(parser)
    parser.add_argument("--output_dir", required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--depth", type=int, help="a depth of the depth table")
    which.add_argument("--keep_blocks", help="blocks that stay, 1-based, e.g. 1-6,8")
    parser.add_argument(
        "--depth_table", help="default: depth_table.json beside the model"
    )
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = with_model(get_parser().parse_args(cmd))
    setup_logging()
    from espnet_prune import Structure, cut, unit_graph
    from espnet_prune.cutting.verify import compare
    from espnet_prune.cutting.write import write_cut
    from espnet_prune.deploy.depth_table import DepthTable
    from espnet_prune.measure.cost import costs
    from espnet_prune.models import load_model
    from espnet_prune.select.selection import check_output
    from espnet_prune.units.blocks import blocks_of, check_blocks, parse_blocks

    model, config = load_model(args.model_config, args.model_file, args.task)
    number = len(blocks_of(model.encoder))
    if args.depth is not None:
        path = args.depth_table or DepthTable.beside(args.model_file)
        kept = DepthTable.load(path, args.model_file).at(args.depth).kept_blocks
    else:
        kept = parse_blocks(args.keep_blocks)
    kept = check_blocks(kept, number, "keep_blocks")
    if not kept:
        raise UserError("keep_blocks: keep at least one block")
    dense = Structure.dense(model.encoder)
    names = [dense["encoder"].kept_blocks[block - 1] for block in kept]
    structure = dense.with_widths({"kept_blocks": names})
    output_dir = Path(args.output_dir)
    check_output(output_dir, structure)
    encoder, graph = model.encoder, unit_graph(model.encoder)
    model.encoder = cut(encoder, structure)

    def prove(written: Any) -> Dict[str, Any]:
        blocks = {"encoder": names}
        return compare(encoder, graph, {}, written, ctc=model.ctc, kept_blocks=blocks)

    provenance = {
        "method": "depth",
        "kept_blocks": kept,
        "dense_model": str(args.model_file),
        "dense_sha256": sha256(args.model_file),
    }
    report = write_cut(model, config, dense, structure, output_dir, prove, provenance)
    logging.info(f"blocks {kept} of {number} written as encoder: {report['encoder']}")
    found = costs(structure, config, model)
    print(json.dumps({"encoder": report["encoder"], **found}))


if __name__ == "__main__":
    run_main(main)
