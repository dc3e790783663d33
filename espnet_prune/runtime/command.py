# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transcribe audio by a deployed model, without PyTorch.

Prints a line per file, its name and its text; what else there is to say goes to stderr.
Audio is given as files (wav, flac, ogg, mp3 ...), folders, and lists with a path, or a
name and a path, in a line. Files that cannot be recognised are told, and the others go
on; the exit code is 2 then.
"""

import argparse
import contextlib
import logging
import os
import sys
import time
from typing import Any, Dict, Iterator, List, Optional, TextIO

from .audio import seconds_of
from .errors import UserError, sentence_of
from .eta import Eta
from .files import PathLike, atomic_write
from .inputs import named_files
from .long import OVERLAP, PIECE
from .result import Result, write_result
from .search import OPTIONS, PARTS

_SETTING = ("size", "depth", "precision", "threads", "decoding", "piece", "overlap")


def get_parser(folder: Optional[PathLike] = None) -> argparse.ArgumentParser:
    """Return the command line parser.

    Args:
        folder: The deployed model; None lets the command line say which.
    """
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    if folder is None:
        parser.add_argument("model", metavar="DIR", help="a deployed model")
    parser.add_argument("audio", nargs="*", help="files, folders, lists")
    parser.add_argument(
        "--check",
        action="store_true",
        help="say whether the model's files are whole and give here what they gave "
        "where they were made",
    )
    parser.add_argument("--output", help="write to this file instead of the terminal")
    parser.add_argument(
        "--json",
        action="store_true",
        help="a JSON object per line, with tokens and their times in seconds",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="hear audio block by block, as it comes; a contextual-block model can",
    )
    parser.add_argument("--size", help="one of the sizes that were deployed")
    parser.add_argument("--depth", help="one of the depths that were deployed")
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8"),
        help="by default what was found best when the model was deployed",
    )
    parser.add_argument("--threads", type=int, default=1, help="of one recognition")
    parser.add_argument("--jobs", type=int, default=1, help="files side by side")
    parser.add_argument(
        "--decoding",
        choices=tuple(PARTS),
        help="by default that of the model's decoder, or else ctc_greedy",
    )
    for name, kind in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help="by default the model's own")
    parser.add_argument(
        "--piece",
        type=float,
        default=PIECE,
        help="seconds; longer audio is recognised in pieces",
    )
    parser.add_argument(
        "--overlap", type=float, default=OVERLAP, help="seconds that two pieces share"
    )
    return parser


def main(cmd: Optional[List[str]] = None, folder: Optional[PathLike] = None) -> None:
    """Run the command.

    Raises:
        UserError: Bad input; or some of several files could not be recognised.
    """
    args = get_parser(folder).parse_intermixed_args(cmd)  # DIR --stream FILE
    for name in ("threads", "jobs"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} must be at least 1")
    logging.basicConfig(format="%(message)s")
    folder = args.model if folder is None else folder
    if args.check:
        _check(folder)
        if not args.audio:
            return
    if not args.audio:
        raise UserError("nothing to transcribe; give audio files, folders or lists")
    setting = {name: getattr(args, name) for name in (*_SETTING, *OPTIONS)}
    setting["folder"] = folder
    with _opened(args.output) as stream:
        if args.stream:
            from . import live

            failed, count = live.transcribe(setting, args, stream)
        else:
            files = named_files(args.audio)
            failed, count = _transcribe(setting, files, args, stream), len(files)
    if failed:
        raise UserError(f"{failed} of {count} files could not be recognised")


def _transcribe(
    setting: Dict[str, Any],
    files: Dict[str, str],
    args: argparse.Namespace,
    stream: TextIO,
) -> int:
    """Write what is said in files; returns how many could not be recognised."""
    from .pool import recognised  # onnxruntime takes a while

    lengths = [seconds_of(path) for path in files.values()]
    begin, failed, done, heard, work = time.perf_counter(), 0, 0.0, 0.0, 0.0
    eta = Eta(sum(lengths))
    found = recognised(
        setting, list(files.values()), args.jobs, lambda s: eta.tell(done + s)
    )
    for (name, path), seconds, result in zip(files.items(), lengths, found):
        eta.clear()
        done += seconds
        if isinstance(result, Result):
            heard += result.seconds
            work += result.rtf * result.seconds
        elif len(files) == 1:
            raise result
        else:
            failed += 1
            print(f"{name}: {result}", file=sys.stderr)
        write_result(stream, args.json, name, path, result)
        eta.tell(done)
    eta.close()
    print(
        f"{len(files)} files, {heard:.1f} s of audio in "
        f"{time.perf_counter() - begin:.1f} s; real-time factor of a file "
        f"{work / max(heard, 1e-9):.4f}",
        file=sys.stderr,
    )
    return failed


def run(folder: PathLike) -> None:
    """Run the command for a model; what is the user's to mend is one sentence."""
    try:
        main(folder=folder)
        return
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        sentence: Optional[str] = (
            f"the package {error.name} is not installed; call "
            f"pip install -r {folder}/requirements.txt"
        )
    except (UserError, OSError) as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


def _check(folder: PathLike) -> None:
    from .check import check

    for name, share in check(folder).items():
        print(f"{name} as recorded: {share:.1e} of the largest value", file=sys.stderr)
    print(f"{folder}: all files are whole", file=sys.stderr)


@contextlib.contextmanager
def _opened(path: Optional[str]) -> Iterator[TextIO]:
    if path is None:
        try:
            yield sys.stdout
        except BrokenPipeError:  # who reads has enough, such as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        return
    with atomic_write(path) as stream:
        yield stream
