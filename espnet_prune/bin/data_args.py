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
from typing import Optional, Sequence

from espnet_prune.data.dense import data_args
from espnet_prune.utils import read_mapping, run_main


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="config.yaml of an ASR model")
    args = parser.parse_args(cmd)
    print(shlex.join(data_args(read_mapping(args.config), str(args.config))))


if __name__ == "__main__":
    run_main(main)
