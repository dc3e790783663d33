# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What an output directory was begun for: gone on with, begun again, or refused."""

import argparse
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Optional

from espnet_prune.source import Source
from espnet_prune.utils import UserError, read_json, sha256, write_json

ASKED = "asked.json"
MODEL = "model"  # an archive is unpacked there
# options that say what comes out; paths are told as they are from here
_PATHS = ("audio", "text", "dev", "dev_text", "latency")
_PLAIN = ("target", "recover", "sizes", "kind", "points", "num_utts", "seed", "task")


def check_folder(folder: Path) -> None:
    """Refuse a directory that holds something else.

    Raises:
        UserError: It has files, and not of a command of these.
    """
    if folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        if not (folder / ASKED).is_file() and [folder / MODEL] != list(
            folder.glob("*")
        ):
            raise UserError(
                f"--output_dir {folder}: holds other files; give a new or an empty "
                "directory"
            )


def asked_of(args: argparse.Namespace, source: Source, command: str) -> Dict[str, Any]:
    """Return what is asked for, as the output directory keeps it."""
    given = vars(args)
    here = Path(args.model).exists()  # else it is a tag
    model = os.path.abspath(args.model) if here else args.model
    asked: Dict[str, Any] = {"command": command, "model": model}
    asked["model_file"] = os.path.abspath(source.model_file)
    asked["sha256"] = sha256(source.model_file)
    for key in _PATHS:
        asked[key] = os.path.abspath(given[key]) if given.get(key) else None
    return {**asked, **{key: given.get(key) for key in _PLAIN}}


def begin(folder: Path, asked: Dict[str, Any], result: str) -> Optional[Dict[str, Any]]:
    """Begin, go on, or return what is finished.

    What was begun for something else and not finished is removed.

    Args:
        folder: Output directory.
        asked: See `asked_of`.
        result: Name of the file that is written last.

    Returns:
        The content of that file, if it is there.

    Raises:
        UserError: It is there, and for something else.
    """
    before = read_json(folder / ASKED) if (folder / ASKED).is_file() else None
    # the same model may lie elsewhere by now
    where = ("model", "model_file")
    given = asked if before is None else before
    differ = [k for k in asked if k not in where and given.get(k) != asked[k]]
    if (folder / result).is_file():
        if before is None or differ:
            first = differ[0] if differ else ASKED
            was, now = (str(d.get(first)) for d in (before or {}, asked))
            raise UserError(
                f"--output_dir {folder}: holds what was made with {first} {was}, not "
                f"{now}; give another directory, or remove it"
            )
        logging.info(f"{folder}: finished before; remove it to have it done again")
        return read_json(folder / result)
    if before is not None and differ:
        logging.info(f"{folder}: begun before for something else, begun again")
        for path in folder.iterdir():
            if path.name != MODEL:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif before is not None:
        logging.info(f"{folder}: begun before, gone on with")
    write_json(asked, folder / ASKED)
    return None


def asked_before(folder: Path) -> Dict[str, Any]:
    """Return what a directory was begun for.

    Raises:
        UserError: It is not one of ours.
    """
    if not (folder / ASKED).is_file():
        raise UserError(
            f"--output_dir {folder}: not a directory that quick or sizes has filled; "
            "give one, or --model and --audio"
        )
    return read_json(folder / ASKED)
