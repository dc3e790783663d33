# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Data as ESPnet is given it, path, name and type: can ESPnet read all of it?"""

from pathlib import Path
from typing import Dict, List, Mapping, Sequence

from espnet_prune.data.tables import has_mark, read_table, split_ark
from espnet_prune.utils import UserError

# text files of "key path" lines whose second column is a file
_FILE_TYPES = ("sound", "multi_columns_sound", "kaldi_ark", "npy")
# types of one line for each utterance
_TABLES = (*_FILE_TYPES, "text", "text_int", "text_float", "csv_int", "csv_float")


def read_plain(path: Path, option: str) -> Dict[str, str]:
    """Read a table that ESPnet itself will read: it skips no byte order mark."""
    if has_mark(path):
        raise UserError(
            f"{option} {path}: begins with a byte order mark, which ESPnet takes for a "
            "part of the first key; remove it"
        )
    return read_table(path)


def _check_scp(table: Dict[str, str], path: Path, option: str, kind: str) -> None:
    """Check that the files exist, and that ESPnet's reader of the kind takes them."""
    missing: List[str] = []
    for key, value in table.items():
        if not value:
            missing.append(f"{key} (no path)")
            continue
        if value.endswith("|") or value == "-":
            if kind != "kaldi_ark":
                raise UserError(
                    f"{option} {path}: '{key}' is a pipe, which ESPnet does not open "
                    f"as {kind}; write audio files"
                )
            continue
        columns = kind.startswith("multi_columns")
        for file in value.split() if columns else [value]:
            name, ark = split_ark(file)
            if not Path(name).exists():
                missing.append(name)
            elif ark and "sound" in kind:
                raise UserError(
                    f"{option} {path}: '{key}' is in an ark, which ESPnet does not "
                    f"open as {kind}; say {path},speech,kaldi_ark"
                )
    if missing:
        raise UserError(
            f"{option} {path}: {len(missing)} of {len(table)} files do not exist, e.g. "
            + ", ".join(missing[:3])
        )


def check_text(table: Dict[str, str], path: Path, option: str) -> None:
    """Check that no utterance has an empty text."""
    empty = [key for key, value in table.items() if not value]
    if empty:
        raise UserError(
            f"{option} {path}: {len(empty)} of {len(table)} utterances have empty "
            f"text, e.g. {', '.join(empty[:3])}; remove them"
        )


def check_same_utterances(tables: Mapping[Path, Dict[str, str]], first: Path) -> None:
    """Check that every utterance of the first shape file is in all other tables."""
    wanted = tables[first]
    for path, table in tables.items():
        missing = [key for key in wanted if key not in table]
        if missing:
            raise UserError(
                f"{path}: {len(missing)} of the {len(wanted)} utterances in {first} "
                f"are missing, the first is '{missing[0]}'; collect the statistics "
                "again, or give the data that they were made from"
            )


def check_entries(
    entries: Sequence[Sequence[str]], option: str, folders: bool = True
) -> Dict[Path, Dict[str, str]]:
    """Check the tables of data and the files in them.

    Args:
        entries: (path, name, type) each, as in `--train_data_path_and_name_and_type`.
        option: The option that they are given by.
        folders: Whether a path may be a directory, as of tables in parts.

    Returns:
        The tables of one line for each utterance, by path.

    Raises:
        UserError: A table or a file in it is missing, or ESPnet cannot read it.
    """
    tables: Dict[Path, Dict[str, str]] = {}
    for name, _, kind in entries:
        path = Path(name)
        if not path.exists():
            raise UserError(f"{option} {path}: no such file")
        if path.is_dir() and not folders:
            raise UserError(f"{option} {path}: is a directory, give a file")
        if not path.is_file() or kind not in _TABLES:
            continue
        tables[path] = read_plain(path, option)
        if kind in _FILE_TYPES:
            _check_scp(tables[path], path, option, kind)
    return tables
