# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Many files: one after the other, or side by side in processes.

Processes, because a beam search is Python, of which a process runs one line at a time.
"""

import concurrent.futures
import multiprocessing
import signal
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Union

from .errors import UserError
from .recognizer import Recognizer, Told
from .result import Result

Found = Union[Result, UserError]

_own: List[Recognizer] = []  # the one of a process of the pool


def recognised(
    setting: Mapping[str, Any], paths: Sequence[str], jobs: int, told: Told
) -> Iterator[Found]:
    """Recognise files.

    Args:
        setting: Arguments of `Recognizer`.
        paths: Of the files.
        jobs: Processes, each with the model in its memory.
        told: Called with the seconds of the current file that are done, where there is
            one process.

    Yields:
        In the order of the files what was heard, or why nothing was.

    Raises:
        UserError: The model cannot be opened, or a process was killed.
    """
    recognizer = Recognizer(**setting)  # what is wrong with it is told once
    jobs = min(jobs, len(paths))
    if jobs <= 1:
        for path in paths:
            yield _heard(recognizer, path, told)
        return
    del recognizer
    with concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _open, (dict(setting),)
    ) as pool:
        try:
            yield from pool.map(_in_process, paths)
        except BrokenProcessPool as error:
            raise UserError(
                f"one of {jobs} processes was killed, maybe because memory ran out; "
                "take fewer --jobs"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _open(setting: Mapping[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells it
    _own.append(Recognizer(**setting))


def _in_process(path: str) -> Found:
    return _heard(_own[0], path, None)


def _heard(recognizer: Recognizer, path: str, told: Optional[Told]) -> Found:
    try:
        return recognizer.file(path, told)
    except UserError as error:
        return error
