# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The model of a training as it is before the first step."""

import argparse
import tempfile
from pathlib import Path
from typing import List, Optional

import torch

from espnet_prune.foreign import told
from espnet_prune.model_files import read_tokens
from espnet_prune.models import load_pretrained, save_model
from espnet_prune.train.command import get_parser, read_command
from espnet_prune.train.task import PruneASRTask
from espnet_prune.utils import UserError, write_yaml

SPECIAL = ("<blank>", "<unk>", "<sos/eos>")


def read_args(cmd: List[str], description: Optional[str] = None) -> argparse.Namespace:
    """Read a training's options; tokens are special ones if none are named.

    Raises:
        UserError: See `read_command` and `precheck`; or no output directory, or one
            that has a model.
    """
    from espnet_prune.train import precheck

    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens.txt"
        tokens.write_text("".join(f"{token}\n" for token in SPECIAL))
        defaults = ["--token_list", str(tokens), "--token_type", "char"]
        args = read_command(get_parser(description), [*defaults, *cmd])
        precheck.check_files(args)
        precheck.check_confs(args, PruneASRTask)
        if args.output_dir is None:
            raise UserError("--output_dir is missing; see --help")
        if isinstance(args.token_list, str):
            args.token_list = read_tokens(args.token_list)
    if (Path(args.output_dir) / "config.yaml").exists():
        raise UserError(
            f"{args.output_dir} holds a model already; choose another --output_dir or "
            "remove it"
        )
    return args


def write_initial(args: argparse.Namespace) -> int:
    """Write config.yaml and model.pth; return the number of parameters.

    Args:
        args: See `read_args`.

    Raises:
        UserError: ESPnet cannot build the model.
    """
    torch.manual_seed(args.seed)
    what = f"--config {args.config}: ESPnet cannot build this model"
    with told(what, "look at the key that it is about", vars(args)):
        model = PruneASRTask.build_model(args)
    for param in args.init_param:
        load_pretrained(param, model, args.ignore_init_mismatch)
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    save_model(model, output / "model.pth")
    write_yaml(vars(args), output / "config.yaml")
    return sum(p.numel() for p in model.parameters())
