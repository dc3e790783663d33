# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""`transcribe --stream`: what is heard so far is printed as audio comes."""

import argparse
import shutil
import sys
import wave
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    Mapping,
    Sequence,
    TextIO,
    Tuple,
    Union,
)

import numpy as np

from .audio import as_samples, prepared, read_blocks
from .errors import UserError
from .inputs import named_files
from .result import Result, write_result
from .stream import Stream

STDIN = "-"
SECONDS = 0.1  # of audio that is read at a time
_CLEAR = "\r\x1b[K"  # empties the line of a terminal


def transcribe(
    setting: Mapping[str, Any], args: argparse.Namespace, stream: TextIO
) -> Tuple[int, int]:
    """Write what is said in recordings, while they are heard.

    A terminal has what was heard so far in its last line; with --json there is a line
    for each block, in which "final" is false. Elsewhere there is a line for each
    recording.

    Args:
        setting: Of the model: folder, size, depth, precision, threads.
        args: The command line.
        stream: Where to.

    Returns:
        How many could not be recognised, and how many there are.

    Raises:
        UserError: An option that means nothing for a stream, or the only recording
            cannot be recognised.
    """
    check_options(args)
    names = ("folder", "size", "depth", "precision", "threads")
    model = Stream(**{name: setting[name] for name in names})
    if model.config.input == "feats":
        raise UserError(
            f"{setting['folder']}: the model has no front end, it takes features "
            "instead of audio; call Stream with arrays (frames, size)"
        )
    files, failed = named(args.audio), 0
    rewritten = stream.isatty() and not args.json
    for name, path in files.items():

        def told(result: Result) -> None:
            if args.json:
                write_result(stream, True, name, path, result, final=False)
            elif rewritten:
                print(f"{_CLEAR}{_fitted(name, result.text)}", end="", file=stream)
                stream.flush()

        found: Union[Result, UserError]
        try:
            found = heard(model, path, told)
        except UserError as error:
            if len(files) == 1:
                raise
            failed, found = failed + 1, error
            print(f"{name}: {error}", file=sys.stderr)
        finally:
            if rewritten:
                print(_CLEAR, end="", file=stream, flush=True)
        write_result(stream, args.json, name, path, found, final=True)
    return failed, len(files)


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing for a stream.

    Raises:
        UserError: One of them is given.
    """
    if args.jobs > 1:
        raise UserError("--jobs: a stream is recognised alone; leave it out")
    if args.decoding not in (None, "ctc_greedy"):
        raise UserError(
            f"--decoding {args.decoding}: a stream is decoded by ctc_greedy; leave "
            "--stream out"
        )


def heard(model: Stream, path: str, told: Callable[[Result], Any]) -> Result:
    """Recognise a recording.

    Args:
        model: What hears it.
        path: A file, or "-" for standard input.
        told: Called with what is heard so far, after every block.

    Raises:
        UserError: It cannot be read, or is too short.
    """
    model.reset()
    blocks = 0
    for samples in _audio(path, model.config.sample_rate):
        result = model.accept(samples)
        if model.blocks > blocks:
            blocks = model.blocks
            told(result)
    return model.finish("standard input" if path == STDIN else path)


def named(given: Sequence[str]) -> Dict[str, str]:
    """Return {name: path} of what the command line gives, "-" among it."""
    files = named_files([one for one in given if one != STDIN])
    return {**files, **({STDIN: STDIN} if STDIN in given else {})}


def _fitted(name: str, text: str) -> str:
    """Return the end of a line, as much as a terminal has room for."""
    room, line = shutil.get_terminal_size().columns - 1, f"{name} {text}"
    return line if len(line) <= room else f"...{line[3 - room :]}"


def _audio(path: str, rate: int) -> Iterator[np.ndarray]:
    if path != STDIN:
        return read_blocks(path, rate, round(SECONDS * rate))
    own, blocks = from_stdin(sys.stdin.buffer, rate)
    return prepared(blocks, own, rate, "standard input")


class _Again:
    """A stream of bytes whose first ones were read already."""

    def __init__(self, first: bytes, stream: Any) -> None:
        self.first, self.stream = first, stream

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end only."""
        found, self.first = self.first[:size], self.first[size:]
        return found + (
            self.stream.read(size - len(found)) if size > len(found) else b""
        )


def from_stdin(stream: Any, rate: int) -> Tuple[int, Iterator[np.ndarray]]:
    """Read raw PCM of 16 bits and one channel, or a WAV file, as it comes.

    Args:
        stream: Of bytes.
        rate: Of raw PCM, in Hz.

    Returns:
        The rate in Hz, and blocks of samples (S, channels).

    Raises:
        UserError: A WAV file of another kind.
    """
    bytes_ = _Again(stream.read(4), stream)
    if bytes_.first != b"RIFF":
        size = 2 * round(SECONDS * rate)
        return rate, _blocks(lambda: bytes_.read(size), 1, "<i2")
    try:
        file = wave.open(bytes_, "rb")  # type: ignore[arg-type]
    except (wave.Error, EOFError) as error:
        raise UserError(
            f"standard input: is no WAV file of integers ({error}); send 16-bit PCM"
        ) from error
    width = file.getsampwidth()
    if width not in (2, 4):
        raise UserError(
            f"standard input: samples have {8 * width} bits; send 16-bit PCM"
        )
    count = round(SECONDS * file.getframerate())
    kind = f"<i{width}"
    blocks = _blocks(lambda: file.readframes(count), file.getnchannels(), kind)
    return file.getframerate(), blocks


def _blocks(
    read: Callable[[], bytes], channels: int, kind: str
) -> Iterator[np.ndarray]:
    size = channels * np.dtype(kind).itemsize
    while True:
        data = read()
        data = data[: len(data) // size * size]  # a sample that was cut off at the end
        if not data:
            return
        yield as_samples(np.frombuffer(data, kind).reshape(-1, channels))
