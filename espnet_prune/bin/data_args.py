#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Print the options by which a model was given its training data, from its config.yaml.

What comes after the dense model trains on the same data, whoever trained that model.
The words are quoted for a shell.
"""

import argparse
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from espnet_prune.utils import UserError, read_yaml, run_main

PATHS = ("data_path_and_name_and_type", "shape_file")


def data_args(config: Dict[str, Any], name: str) -> List[str]:
    """Options of asr_train for the data of `config`.

    Raises:
        UserError: the config has no training data, or a file of it is missing.
    """
    words: List[str] = []
    for part in ("train", "valid"):
        for kind in PATHS:
            values = config.get(f"{part}_{kind}") or []
            if not values:
                raise UserError(
                    f"{name}: no {part}_{kind}, give the data in the recipe"
                )
            for value in values:
                value = [value] if isinstance(value, str) else list(value)
                if not Path(value[0]).exists():
                    raise UserError(
                        f"{name}: {part}_{kind} names {value[0]}, which is missing; "
                        "call this from the directory where the model was trained, or "
                        "run stages 1-10 here and give --own_data true"
                    )
                words += [f"--{part}_{kind}", ",".join(map(str, value))]
    for value in config.get("fold_length") or []:
        words += ["--fold_length", str(value)]
    return words


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="config.yaml of an ASR model")
    args = parser.parse_args(cmd)
    print(shlex.join(data_args(read_yaml(args.config), str(args.config))))


if __name__ == "__main__":
    run_main(main)
