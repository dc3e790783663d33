# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Errors of users: one sentence each, and what a command makes of it."""

import difflib
import errno
from typing import Iterable, Optional


class UserError(ValueError):
    """Bad input, told in one sentence that names the file, the key and the remedy."""


# what the user can mend, and how
_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or ask for a larger quota",
    errno.EROFS: "give another directory",
    errno.EACCES: "give another directory, or ask for permission",
    errno.EPERM: "give another directory, or ask for permission",
    errno.EISDIR: "give a file",
    errno.ENOTDIR: "give another directory",
}


def sentence_of(error: BaseException) -> Optional[str]:
    """Return what a user is told of an error, or None where it is a fault of ours.

    So is a full disk, or a directory that cannot be written or stands for a file.
    """
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno not in _REMEDIES:
        return None
    where = f"{error.filename}: " if error.filename else ""
    remedy = _REMEDIES[error.errno]
    return f"{where}{error.strerror}; {remedy}, and call the same command again"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the known name closest to `name`, or ""."""
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""


def check_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse unknown keys.

    Raises:
        UserError: A given key is not among the known ones; the nearest is named.
    """
    known = list(known)
    for key in given:
        if key not in known:
            raise UserError(
                f"{where}: unknown key '{key}'{nearest(key, known)}; "
                f"known keys are {', '.join(sorted(known))}"
            )


def too_short(where: str, found: int, least: int, rate: int) -> str:
    """Return what is wrong with audio of too few samples.

    Args:
        where: What it is.
        found: Its samples.
        least: Those that the model needs.
        rate: In Hz.
    """
    if not found:
        return f"{where}: is empty"
    return (
        f"{where}: {found} samples ({found / rate:.3f} s) are too few for this model, "
        f"which needs {least} ({least / rate:.3f} s)"
    )
