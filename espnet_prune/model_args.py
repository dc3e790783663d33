# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The options by which commands are given a model: --model_config and --model_file."""

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

from espnet_prune.model_files import find_checkpoint

_HELP = (
    "config.yaml of a model; or its directory, an archive or a tag of a model zoo, or "
    "a Hugging Face CTC directory, as for quick: without --model_file then"
)


def add_model(parser: Any, required: bool = True, what: str = "checkpoint") -> None:
    """Add the two options.

    Args:
        parser: Or a group of it.
        required: Whether the first is.
        what: What the second is, if it is not taken as always.
    """
    parser.add_argument("--model_config", required=required, help=_HELP)
    parser.add_argument("--model_file", help=what)


def with_model(args: argparse.Namespace, weights: bool = True) -> argparse.Namespace:
    """Find the two files of the model that a command was given.

    Args:
        args: Parsed by a parser of `add_model`; changed.
        weights: Whether the checkpoint that is taken is filled in where none is given.

    Raises:
        UserError: See `find_model`.
    """
    if args.model_config is None:
        return args
    given = Path(args.model_config)
    config, model_file = given, args.model_file
    if given.suffix not in (".yaml", ".yml"):
        if given.is_dir() and model_file and (given / "config.yaml").is_file():
            config = given / "config.yaml"
        else:
            from espnet_prune.source import find_model

            config, found = find_model(args.model_config, _place(args.model_config))
            model_file = model_file or (str(found) if weights else None)
    elif weights and model_file is None and given.is_file():
        model_file = str(find_checkpoint(given.parent))
    args.model_config, args.model_file = str(config), model_file
    return args


def _place(what: str) -> Path:
    """Return where a model is unpacked that has no output directory: a cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.path.abspath(what).encode()).hexdigest()[:12]
    return cache / "espnet_prune" / name
