#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Check that a config.yaml and a checkpoint belong together, key by key.

ESPnet loads checkpoints non-strictly: a wrong pair decodes with random weights and
exit status 0. This command exits with 2 and says what does not fit, which weights are
not finite, or that the encoder is none that can be pruned.
"""

import argparse
import json
from typing import List, Optional

from espnet_prune.model_args import add_model, with_model
from espnet_prune.tasks import add_argument
from espnet_prune.utils import command_parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = with_model(get_parser().parse_args(cmd))
    from espnet_prune.families import name_in, unit_graph
    from espnet_prune.models import load_model

    model, config = load_model(args.model_config, args.model_file, args.task)
    unit_graph(model.encoder)
    found = {
        "ok": True,
        "encoder": name_in(config),
        "tensors": len(model.state_dict()),
        "params": sum(p.numel() for p in model.parameters()),
    }
    if args.json:
        print(json.dumps(found))
    else:
        print(
            f"{args.model_file}: all {found['tensors']} tensors fit "
            f"({found['encoder']}, {found['params']:,} parameters)"
        )


if __name__ == "__main__":
    run_main(main)
