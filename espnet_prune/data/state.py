# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The state of data: of Kaldi tables, and of the audio files that they name."""

import hashlib
from pathlib import Path
from typing import Iterator, List, Sequence, Set

from espnet_prune.data.tables import read_table, split_ark
from espnet_prune.utils import read_mapping, sha256

TABLES = ("wav.scp", "segments", "text", "utt2num_samples")


def tables_of(path: Path) -> Iterator[Path]:
    """Yield the tables that a path stands for.

    It may be a data directory, a table, or the config.yaml of a model, which names the
    tables of its training.
    """
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


def digest(data: Sequence[Path], root: Path, times: bool) -> str:
    """Return a hash of tables, and of the audio files that they name.

    Args:
        data: See `tables_of`.
        root: To which paths in wav.scp are relative.
        times: Whether the time of the last change of an audio file counts.
    """
    facts: List[str] = []
    known: Set[Path] = set()
    for path in (table for one in data for table in tables_of(one)):
        if not path.is_file():
            facts.append(f"{path.name} missing")
            continue
        facts.append(f"{path.name} {sha256(path)}")
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
                facts.append(f"{value} missing")
                continue
            changed = state.st_mtime_ns if times else ""
            facts.append(f"{value} {state.st_size} {changed}")
    return hashlib.sha256("".join(f"{x}\n" for x in facts).encode()).hexdigest()
