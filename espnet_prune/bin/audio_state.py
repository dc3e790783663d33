#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Print a hash of data: of Kaldi tables, and of the audio files that they name.

DATA is a data directory (its wav.scp, segments, text and utt2num_samples), a table, or
the config.yaml of a model, which names the tables of its training. Of every audio file
the size and the time of its last change count, so that other recordings at the same
paths are noticed. What is missing counts as missing.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Iterator, Optional, Sequence, Set

from espnet_prune.data.tables import read_table, split_ark
from espnet_prune.utils import read_mapping, run_main, sha256

TABLES = ("wav.scp", "segments", "text", "utt2num_samples")


def tables_of(path: Path) -> Iterator[Path]:
    """Yield the tables that a DATA argument stands for."""
    if path.is_dir():
        yield from (path / name for name in TABLES)
    elif path.suffix == ".yaml":
        config = read_mapping(path) if path.is_file() else {}
        for part in ("train", "valid"):
            for entry in config.get(f"{part}_data_path_and_name_and_type") or []:
                table = Path(entry[0])
                yield table
                yield table.parent / "utt2num_samples"
    else:
        yield path


def facts(data: Sequence[Path], root: Path, times: bool) -> Iterator[str]:
    """Yield what the hash is made of.

    Args:
        data: See above.
        root: To which paths in wav.scp are relative.
        times: Whether the time of the last change of an audio file counts.
    """
    known: Set[Path] = set()
    for path in (table for one in data for table in tables_of(one)):
        if not path.is_file():
            yield f"{path.name} missing"
            continue
        yield f"{path.name} {sha256(path)}"
        if path.suffix != ".scp" or not path.stat().st_size:
            continue
        for value in read_table(path).values():
            audio = root / split_ark(value)[0]
            if not value or value.endswith("|") or audio in known:
                continue
            known.add(audio)
            try:
                state = audio.stat()
            except OSError:
                yield f"{value} missing"
                continue
            yield f"{value} {state.st_size} {state.st_mtime_ns if times else ''}"


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="*", metavar="DATA")
    parser.add_argument(
        "--root", type=Path, default=Path(), help="paths in wav.scp are relative to it"
    )
    parser.add_argument(
        "--without_times",
        action="store_true",
        help="for what ESPnet has formatted, which changes the times of all files",
    )
    args = parser.parse_args(cmd)
    digest = hashlib.sha256()
    for fact in facts(args.data, args.root, not args.without_times):
        digest.update(f"{fact}\n".encode("utf-8"))
    print(digest.hexdigest())


if __name__ == "__main__":
    run_main(main)
