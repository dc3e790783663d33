# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Recordings as a model wants them: one channel, its rate, finite, block by block."""

import contextlib
import logging
import re
from pathlib import Path
from typing import Any, Iterable, Iterator, Set

import numpy as np

from .errors import UserError
from .files import PathLike

BLOCK = 1 << 19  # samples read at a time, of all channels together
# libsndfile's log of a chunk that is shorter than its header says
_CHUNK = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.M)
_UNKNOWN = 0x7FFFF000  # sizes from here on are written by programs that stream

_told: Set[str] = set()  # of what there has been a warning


def is_truncated(log: str) -> bool:
    """Say whether libsndfile found less than the header of a file announces."""
    chunk = _CHUNK.search(log)
    if chunk and int(chunk[2]) < int(chunk[1]) < _UNKNOWN:
        return True
    return "ended unexpectedly" in log


def audio_suffixes() -> Set[str]:
    """Return the endings of files that libsndfile reads, such as ".flac"."""
    import soundfile

    formats = {f".{name.lower()}" for name in soundfile.available_formats()}
    return (formats - {".raw"}) | {".aif", ".oga", ".opus", ".sph"}


@contextlib.contextmanager
def opened(path: PathLike) -> Iterator[Any]:
    """Open a recording as a `soundfile.SoundFile`.

    Raises:
        UserError: It is missing, or libsndfile cannot read it.
    """
    import soundfile

    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    try:
        with soundfile.SoundFile(path) as stream:
            yield stream
    except (RuntimeError, OSError) as error:
        why = " ".join(str(error).split()).rpartition(": ")[2]
        raise UserError(
            f"{path}: libsndfile cannot read it ({why}); convert it to wav or flac"
        ) from error


def seconds_of(path: PathLike) -> float:
    """Return how long a recording is by its header, 0 where it cannot be read."""
    try:
        with opened(path) as stream:
            return stream.frames / stream.samplerate
    except UserError:
        return 0.0


def read_blocks(path: PathLike, rate: int, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Yield a recording, block by block.

    Args:
        path: What libsndfile reads: wav, flac, ogg, mp3 and others.
        rate: To which it is resampled, in Hz.
        size: Samples read at a time.

    Yields:
        (S,) float32; sizes differ.

    Raises:
        UserError: It cannot be read, ends early, or a sample is not finite.
    """
    with opened(path) as stream:
        if stream.frames and is_truncated(stream.extra_info):
            raise UserError(f"{path}: ends early; copy the file again")

        def read() -> Iterator[np.ndarray]:
            left = stream.frames
            while left > 0:
                block = stream.read(min(size, left), dtype="float32")
                if not len(block):
                    raise UserError(f"{path}: ends early; copy the file again")
                left -= len(block)
                yield block

        yield from prepared(read(), stream.samplerate, rate, str(path))


def prepared(
    blocks: Iterable[np.ndarray], own: int, rate: int, where: str
) -> Iterator[np.ndarray]:
    """Check samples, mix their channels and bring them to another rate.

    Args:
        blocks: (S,) or (S, channels) float32.
        own: Their sampling rate in Hz.
        rate: The one that is wanted.
        where: What they are of, for sentences.

    Yields:
        (S,) float32.

    Raises:
        UserError: A sample is not finite, or what resamples is not installed.
    """
    resampler = None if own == rate else _resampler(own, rate, where)
    first = 0
    for block in blocks:
        check_finite(block, first, own, where)
        first += len(block)
        if block.ndim == 2:
            if block.shape[1] > 1:
                _warn_once(f"{where}: its {block.shape[1]} channels are mixed to one")
            block = block.mean(axis=1, dtype=np.float32)
        yield block if resampler is None else resampler.resample_chunk(block)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def as_samples(wave: Any) -> np.ndarray:
    """Return samples as float32, in the range of -1 to 1 where they are integers.

    Args:
        wave: (S,) or (S, channels).

    Returns:
        The same shape.

    Raises:
        UserError: They are of another shape or of another type.
    """
    wave = np.asarray(wave)
    if wave.ndim not in (1, 2) or (wave.ndim == 2 and wave.shape[1] > wave.shape[0]):
        raise UserError(
            f"the waveform has shape {wave.shape}, must be (samples,) or "
            "(samples, channels)"
        )
    if wave.dtype.kind == "i":
        return (wave / -float(np.iinfo(wave.dtype).min)).astype(np.float32)
    if wave.dtype.kind != "f":
        raise UserError(
            f"the waveform is of type {wave.dtype}, must be of floats or signed "
            "integers"
        )
    return wave.astype(np.float32, copy=False)


def check_finite(block: np.ndarray, first: int, rate: int, where: str) -> None:
    """Refuse samples that are not finite.

    Args:
        block: (S,) or (S, channels).
        first: Number of the first one.
        rate: In Hz.
        where: What they are of, for the sentence.

    Raises:
        UserError: One is not.
    """
    finite = np.isfinite(block)
    if finite.all():
        return
    place = np.argwhere(~finite)[0]
    index = first + int(place[0])
    channel = f" of channel {place[1] + 1}" if block.ndim == 2 else ""
    raise UserError(
        f"{where}: sample {index} ({index / rate:.3f} s){channel} is "
        f"{block[tuple(place)]}; write the file again"
    )


def _resampler(own: int, rate: int, where: str) -> Any:
    try:
        import soxr
    except ImportError as error:
        raise UserError(
            f"{where}: has {own} Hz, the model wants {rate} Hz, and soxr, which "
            "resamples, is not installed; call pip install soxr"
        ) from error
    return soxr.ResampleStream(own, rate, 1, dtype="float32", quality="HQ")


def _warn_once(sentence: str) -> None:
    if sentence not in _told:
        _told.add(sentence)
        logging.getLogger(__name__).warning("%s", sentence)
