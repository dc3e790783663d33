#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make a model that was trained elsewhere usable here; print its sentencepiece model.

ESPnet's config.yaml names data, statistics and token lists relative to the directory of
the training. What is missing here and exists there is linked, at the first folder that
is missing: dump, data, exp/asr_stats_x. Nothing that exists here is touched, and the
folder of the experiments is not linked, results are written there.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from espnet_prune.utils import UserError, read_yaml, run_main


def paths(value: Any) -> Iterator[Path]:
    """Yield the relative paths in a config: words with a slash, and no blank."""
    if isinstance(value, dict):
        skipped = ("token_list", "output_dir")
        value = [part for key, part in value.items() if key not in skipped]
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from paths(part)
    elif isinstance(value, str) and "/" in value and len(value.split()) == 1:
        if not Path(value).is_absolute() and ".." not in Path(value).parts:
            yield Path(value)


def home_of(exp: Path, path: Path) -> Optional[Path]:
    """Return the folder above `exp` to which `path` is relative."""
    above = exp.resolve().parents
    return next((folder for folder in above if (folder / path).exists()), None)


def link(path: Path, home: Path, exp: Path) -> Path:
    """Link the first folder of `path` that is missing here; returns it.

    Raises:
        UserError: There is a link to nothing in its place.
    """
    for part in [*reversed(path.parents), path]:
        if part.exists():
            continue
        if part.is_symlink():
            raise UserError(f"{part} is a link to nothing; remove it")
        if home / part not in exp.resolve().parents:
            part.symlink_to(home / part)
            return part
        part.mkdir()
    return path


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="config.yaml of an ASR model")
    args = parser.parse_args(cmd)
    config = read_yaml(args.config)
    for path in paths(config):
        if not path.exists():
            home = home_of(args.config.parent, path)
            if home is not None and home != Path.cwd():
                made = link(path, home, args.config.parent)
                print(f"{made} is now a link to {home / made}", file=sys.stderr)
    if config.get("token_type") == "bpe" and config.get("bpemodel"):
        print(config["bpemodel"])


if __name__ == "__main__":
    run_main(main)
