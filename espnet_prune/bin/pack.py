#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pack a model for sharing, and upload it if asked to.

Writes a zip as ESPnet's model zoo unpacks it: config, checkpoint, the files that the
config names, structure.json, the report's results and pictures, and a model card made
of the report. What comes out of it is loaded strictly before the file gets its name.
Call it from the recipe's directory, to which ESPnet's paths are relative. With --like,
a model that was made of a directory of transformers becomes such a directory again.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from espnet_prune.model_files import ORDER, find_checkpoint
from espnet_prune.utils import command_parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = command_parser(__doc__)
    parser.add_argument("--exp_dir", type=Path, required=True, help="of the model")
    parser.add_argument("--model", help=f"checkpoint, default the first of {ORDER}")
    parser.add_argument("--output", type=Path, help="default EXP_DIR/EXP_NAME.zip")
    where = "directory of a Hugging Face CTC model, of which the dense model was made"
    parser.add_argument("--like", type=Path, help=where)
    parser.add_argument(
        "--hf_repo", help="upload to USER/MODEL on the Hugging Face hub"
    )
    parser.add_argument(
        "--private", action="store_true", help="a new hub repository is"
    )
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from espnet_prune.deploy.pack import pack, upload

    model = find_checkpoint(args.exp_dir, args.model)
    if args.like is not None:
        from espnet_prune.hugging_face.write import FOLDER, write_back
        from espnet_prune.models import load_model

        output = args.output or args.exp_dir / FOLDER
        loaded = load_model(args.exp_dir / "config.yaml", model)
        write_back(*loaded, args.like, output)
    else:
        output = args.output or args.exp_dir / f"{args.exp_dir.resolve().name}.zip"
        pack(args.exp_dir, model.name, output, args.hf_repo)
    print(f"written: {output}")
    if args.hf_repo:
        print(f"uploaded: {upload(output, args.hf_repo, args.private)}")


if __name__ == "__main__":
    run_main(main)
