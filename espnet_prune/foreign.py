# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What other packages raise over bad input, told in a sentence."""

import contextlib
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Iterator, Mapping, Optional

from espnet_prune.utils import UserError

_OURS = Path(__file__).resolve().parent


def is_ours(trace: Optional[TracebackType]) -> bool:
    """Say whether a line of this package has raised an exception: a bug of ours."""
    frames = traceback.extract_tb(trace)
    return not frames or _OURS in Path(frames[-1].filename).resolve().parents


def guilty_key(trace: Optional[TracebackType], config: Mapping[str, Any]) -> str:
    """Return the key of a config whose class was being built, such as encoder_conf.

    Args:
        trace: Of the exception.
        config: The content of config.yaml.

    Returns:
        " (KEY VALUE)", or nothing where it cannot be told.
    """
    for frame, _ in reversed(list(traceback.walk_tb(trace))):
        line = traceback.FrameSummary(
            frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name
        ).line
        for key in sorted(config, key=len, reverse=True):
            if key.endswith("_conf") and f"args.{key}" in (line or ""):
                return f" ({key} {config[key]})"
    return ""


@contextlib.contextmanager
def told(
    what: str,
    remedy: str,
    config: Optional[Mapping[str, Any]] = None,
    as_long_as: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Tell what another package raises in here as bad input.

    What a line of this package raises passes through: it is a bug, and shows its
    traceback. So do errors of the system, which `run_main` knows.

    Args:
        what: File or option that is being used, and for what.
        remedy: What the user can do.
        config: Content of a config.yaml, of which the guilty key is named.
        as_long_as: Asked when something has failed; if it says no, that passes, too.

    Raises:
        UserError: Something of another package failed.
    """
    try:
        yield
    except (UserError, OSError, ImportError, MemoryError):
        raise
    except Exception as error:
        if is_ours(error.__traceback__) or not as_long_as():
            raise
        said = " ".join(str(error).split()) or "no message"
        key = guilty_key(error.__traceback__, config or {})
        raise UserError(
            f"{what}: {type(error).__name__}: {said[:300]}{key}; {remedy}"
        ) from error
