# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Files: read as UTF-8 or JSON, written whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Iterator, Optional, Union

from .errors import UserError

PathLike = Union[str, Path]


def _no_room(error: Optional[BaseException]) -> Optional[int]:
    """Return the error number of a full disk that led to `error`, if there is one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error.errno
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def atomic_write(path: PathLike, mode: str = "w") -> Iterator[Any]:
    """Open a temporary file beside `path`, and rename it to `path` on success.

    A crash leaves either the old file or the new one, never a part of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    try:
        encoding = None if "b" in mode else "utf-8"  # whatever the locale is
        with os.fdopen(handle, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; give the usual permissions of a new file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        full = _no_room(error)
        if full is not None:  # writing to a stream does not say which file it is
            raise OSError(full, os.strerror(full), str(path)) from error
        raise


def decode_utf8(data: bytes, path: PathLike, first: int = 1) -> str:
    """Decode the content of a file.

    Args:
        data: Bytes of the file, from its line `first` on.
        path: The file, for the sentence that says what is wrong.
        first: Number of the first line in `data`.

    Raises:
        UserError: It is not UTF-8; the line is named.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = first + data.count(b"\n", 0, error.start)
        raise UserError(
            f"{path}: line {number} is not UTF-8; convert the file, for instance by "
            "iconv -f LATIN1 -t UTF-8"
        ) from error


def read_utf8(path: PathLike) -> str:
    """Read a text file.

    Raises:
        UserError: The file is missing, or is not UTF-8.
    """
    try:
        return decode_utf8(Path(path).read_bytes(), path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error


def read_json(path: PathLike) -> Any:
    """Read JSON.

    Raises:
        UserError: The file is missing, is not UTF-8, or is not JSON.
    """
    text = read_utf8(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error


def sha256(path: PathLike) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
