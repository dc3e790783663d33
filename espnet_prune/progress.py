# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How far a long work is and when it will be done: a bar, or lines in a log."""

import logging
import os
import sys
import warnings
from typing import Any, Callable, Optional


class _Lines:
    """A file for tqdm that hands on lines, without what moves a terminal's cursor."""

    def __init__(self, tell: Callable[[str], Any]) -> None:
        self.tell = tell

    def write(self, text: str) -> None:
        """Hand on a line, if there is anything in it."""
        if text.strip():
            self.tell(text.strip())

    def flush(self) -> None:
        """Do nothing; a logger needs no flush."""


def progress(
    total: Optional[int],
    what: str,
    unit: str,
    tell: Optional[Callable[[str], Any]] = None,
    seconds: float = 10.0,
) -> Any:
    """Return a tqdm to `update` and `close`.

    Args:
        total: Number of steps; None if nobody knows.
        what: What is being done.
        unit: What a step is, in the plural.
        tell: Takes the lines where there is no terminal; by default the log.
        seconds: Time between two lines, and before the first.
    """
    from tqdm import tqdm

    if tell is None and sys.stderr.isatty():
        return tqdm(total=total, desc=what, unit=f" {unit}", leave=False)
    form = f"{{desc}}: {{n_fmt}} {unit}"
    if total is not None:
        form = f"{{desc}}: {{n_fmt}}/{{total_fmt}} {unit}, about {{remaining}} left"
    return tqdm(
        total=total,
        desc=what,
        file=_Lines(tell or logging.info),
        mininterval=seconds,
        delay=seconds,
        miniters=1,
        leave=False,
        bar_format=form,
    )


def tell_less() -> None:
    """Of what others log tell only warnings, and the epochs of ESPnet's trainer.

    That is so for what goes to the terminal.
    """
    warnings.simplefilter("ignore", FutureWarning)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.addFilter(_is_for_users)


def _is_for_users(record: logging.LogRecord) -> bool:
    ours = f"{os.sep}espnet_prune{os.sep}" in record.pathname
    return ours or record.levelno >= logging.WARNING or record.module == "trainer"
