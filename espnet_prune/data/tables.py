# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The one reader of Kaldi tables: wav.scp, text, utt2spk, segments, shape files.

As in Kaldi and in ESPnet a line is a key, any white space, and the rest. A line ends
with LF alone, so that no other character of a transcript can end it; CR before LF and
a byte order mark at the beginning are what editors leave, and are skipped.
"""

import codecs
import hashlib
import re
from pathlib import Path
from typing import Dict, Iterator, Mapping, Set, Tuple

from espnet_prune.utils import PathLike, UserError, atomic_write, decode_utf8

Table = Dict[str, str]


def read_lines(path: PathLike, remedy: str = "") -> Iterator[Tuple[int, str]]:
    """Yield (number, line) of a UTF-8 file, without the lines that are blank.

    Args:
        path: The file.
        remedy: What to do when it is missing, for the sentence that says so.

    Raises:
        UserError: The file is missing, a line is not UTF-8, or has a CR inside.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file" + (f"; {remedy}" if remedy else ""))
    with open(path, "rb") as stream:
        for number, raw in enumerate(stream, 1):
            if number == 1 and raw.startswith(codecs.BOM_UTF8):
                raw = raw[len(codecs.BOM_UTF8) :]
            line = decode_utf8(raw, path, number).rstrip("\r\n")
            if "\r" in line:  # ESPnet takes it for the end of a line
                raise UserError(
                    f"{path}: line {number} has a carriage return inside; end the "
                    "lines with a line feed"
                )
            if line.strip():
                yield number, line


def read_rows(path: PathLike, remedy: str = "") -> Iterator[Tuple[int, str, str]]:
    """Yield (number of the line, key, value) of a table; a value may be empty.

    Raises:
        UserError: As `read_lines`, or a key is there twice.
    """
    seen: Set[str] = set()
    for number, line in read_lines(path, remedy):
        key, *rest = line.split(maxsplit=1)
        if key in seen:
            raise UserError(
                f"{path}: line {number}: '{key}' is there twice; remove one of the two"
            )
        seen.add(key)
        yield number, key, rest[0].rstrip() if rest else ""


def read_table(path: PathLike, remedy: str = "") -> Table:
    """Read a table as {key: value}, in the order of its lines.

    Raises:
        UserError: As `read_rows`, or there is no line.
    """
    table = {key: value for _, key, value in read_rows(path, remedy)}
    if not table:
        raise UserError(f"{path}: the file is empty")
    return table


def write_table(path: PathLike, table: Mapping[str, str]) -> None:
    """Write a table atomically, in the order given."""
    with atomic_write(path) as stream:
        stream.writelines(f"{k} {value}".rstrip() + "\n" for k, value in table.items())


def split_ark(value: str) -> Tuple[str, bool]:
    """Return the file of a value of wav.scp, and whether the audio lies in an ark.

    In an ark it is FILE:OFFSET; a file that is called so is a file.
    """
    name, _, offset = value.rpartition(":")
    if name and offset.isdigit() and not Path(value).exists():
        return name, True
    return value, False


def audio_kind(value: str) -> str:
    """Return ESPnet's name for the type of the audio that wav.scp has as a value."""
    in_ark = split_ark(value)[1] or value.endswith("|")
    return "kaldi_ark" if in_ark else "sound"


def has_mark(path: PathLike) -> bool:
    """Say whether a file begins with a byte order mark, which ESPnet does not skip."""
    with open(path, "rb") as stream:
        return stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def file_name(key: str) -> str:
    """Return a name for a file of `key`: never a path, no longer than 100 bytes.

    An ordinary key is its own name; of any other the odd characters are replaced, and
    a hash keeps it apart from its likes.
    """
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", key):
        return key
    digest = hashlib.sha256(key.encode("utf-8")).hexdigest()[:16]
    return re.sub(r"[^A-Za-z0-9_-]", "_", key)[:80] + "-" + digest
