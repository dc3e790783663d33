#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write the model of a training configuration as it is before the first step.

For an encoder that brings its weights along, such as a self-supervised one: the result
can be pruned without labels, once, and trained for any task afterwards. The options are
those of the training; without --token_list there are only the special tokens, and the
heads on top of the encoder mean nothing.

    init_model --config conf/train_x.yaml --output_dir exp/x
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import List, Optional

from espnet_prune.utils import (
    UserError,
    run_main,
    setup_logging,
    write_yaml,
)

SPECIAL = ("<blank>", "<unk>", "<sos/eos>")


def read_args(cmd: List[str]) -> argparse.Namespace:
    """Read the training's options; tokens are special ones if none are named.

    Raises:
        UserError: See `asr_train.read_command`; or no output directory.
    """
    from espnet_prune.bin.asr_train import get_parser, read_command
    from espnet_prune.train import precheck
    from espnet_prune.train.task import PruneASRTask

    parser = get_parser()
    parser.description = __doc__
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.txt"
        tokens.write_text("".join(f"{token}\n" for token in SPECIAL))
        defaults = ["--token_list", str(tokens), "--token_type", "char"]
        args = read_command(parser, [*defaults, *cmd])
        precheck.check_files(args)
        precheck.check_confs(args, PruneASRTask)
        if args.output_dir is None:
            raise UserError("--output_dir is missing; see --help")
        if isinstance(args.token_list, str):
            with open(args.token_list, encoding="utf-8") as stream:  # as ESPnet does
                args.token_list = [line.rstrip() for line in stream]
    return args


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    setup_logging()
    args = read_args(list(sys.argv[1:] if cmd is None else cmd))
    import torch

    from espnet_prune.foreign import told
    from espnet_prune.models import load_pretrained, save_model
    from espnet_prune.train.task import PruneASRTask

    output = Path(args.output_dir)
    if (output / "config.yaml").exists():
        raise UserError(
            f"{output} holds a model already; choose another --output_dir or remove it"
        )
    torch.manual_seed(args.seed)
    what = f"--config {args.config}: ESPnet cannot build this model"
    with told(what, "look at the key that it is about", vars(args)):
        model = PruneASRTask.build_model(args)
    for param in args.init_param:
        load_pretrained(param, model, args.ignore_init_mismatch)
    output.mkdir(parents=True, exist_ok=True)
    save_model(model, output / "model.pth")
    write_yaml(vars(args), output / "config.yaml")
    number = sum(p.numel() for p in model.parameters())
    print(f"written: {output}/config.yaml and model.pth ({number:,} parameters)")


if __name__ == "__main__":
    run_main(main)
