# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Recordings: read whole, cut into utterances, copied at other speeds."""

import contextlib
import hashlib
import re
from fractions import Fraction
from pathlib import Path
from typing import (
    Any,
    Callable,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from espnet_prune.data.tables import file_name, read_table
from espnet_prune.runtime.audio import is_truncated
from espnet_prune.utils import PathLike, UserError

BLOCK = 1 << 20  # samples held at a time
OVERSHOOT = 0.5  # seconds by which a segment may pass the end, as in Kaldi


class Piece(NamedTuple):
    """Where the samples of an utterance are: a recording, or seconds of one."""

    path: str
    start: Optional[float] = None
    end: Optional[float] = None

    @property
    def whole(self) -> bool:
        """Whether it is the whole recording."""
        return self.start is None


@contextlib.contextmanager
def _opened(path: str, what: str) -> Iterator[Any]:
    """Open a recording; what libsndfile finds wrong is told."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as stream:
            yield stream
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{what} cannot be read ({path}: {error}); copy the file again"
        ) from error


def check_audio(path: str, what: str) -> Tuple[int, int, int]:
    """Read a recording from the first to the last sample.

    Args:
        path: The audio file.
        what: Table and utterance, for the sentence that says what is wrong.

    Returns:
        Samples, sampling rate in Hz, channels.

    Raises:
        UserError: It cannot be read, it ends early, or a sample is not finite.
    """
    import numpy as np

    with _opened(path, what) as stream:
        size, rate, channels = stream.frames, stream.samplerate, stream.channels
        early = is_truncated(stream.extra_info)
        found, finite, more = 0, True, True
        while more:  # `stream.blocks` would believe the header
            block = stream.read(BLOCK, dtype="float32")
            found, more = found + len(block), len(block) == BLOCK
            finite = finite and bool(np.isfinite(block).all())
    if early or found != size:
        raise UserError(f"{what} ends early ({path}); copy the file again")
    if not finite:
        raise UserError(f"{what} has samples that are not finite ({path})")
    return found, rate, channels


def read_piece(piece: Piece, what: str) -> Tuple[Any, int]:
    """Read an utterance.

    Args:
        piece: Where it is.
        what: As in `check_audio`.

    Returns:
        Samples (T,) or (T, channels) as float64, and the sampling rate.

    Raises:
        UserError: It cannot be read, or lies beyond the end of the recording.
    """
    with _opened(piece.path, what) as stream:
        rate = stream.samplerate
        start = round((piece.start or 0.0) * rate)
        end = stream.frames if piece.end is None else round(piece.end * rate)
        beyond = max(start + 1, end - round(OVERSHOOT * rate)) > stream.frames
        if not piece.whole and beyond:
            raise UserError(
                f"{what} ends at {end / rate:g} s, but its recording {piece.path} "
                f"has {stream.frames / rate:g} s"
            )
        stream.seek(start)
        wanted = min(end, stream.frames) - start
        audio = stream.read(wanted, dtype="float64")
    if len(audio) != wanted:
        raise UserError(f"{what} ends early ({piece.path}); copy the file again")
    return audio, rate


def copy_name(
    utt: str, piece: Piece, speed: Fraction, rate: Optional[int] = None
) -> str:
    """Return the file name of a copy; it belongs to the recording it is made of.

    Another recording, or the same path with another size or modification time, another
    segment, another speed or another sampling rate give another name.
    """
    state = Path(piece.path).stat()
    parts = (piece.path, state.st_size, state.st_mtime_ns, piece.start, piece.end)
    how = (str(speed), *([rate] if rate else []))
    digest = hashlib.sha256(repr((*parts, *how)).encode("utf-8")).hexdigest()
    return f"{file_name(utt)}.{digest[:16]}.flac"


def copy_piece(
    utt: str,
    piece: Piece,
    folder: Path,
    what: str,
    speed: Fraction = Fraction(1),
    rate: Optional[int] = None,
) -> str:
    """Write an utterance to a file of its own, unless it is there; returns its path.

    Args:
        utt: Its id.
        piece: Where it is.
        folder: Where the file goes.
        what: As in `check_audio`.
        speed: By which it is faster; by resampling as sox's ``speed``, so that the
            pitch changes, too.
        rate: Sampling rate in Hz to which it is brought, with the mean of its channels;
            None leaves both as they are.

    Raises:
        UserError: As `read_piece`.
    """
    import soundfile

    target = folder / copy_name(utt, piece, speed, rate)
    if not target.is_file():
        audio, own = read_piece(piece, what)
        ratio = 1 / speed
        if rate is not None:
            ratio, own = ratio * Fraction(rate, own), rate
            audio = audio if audio.ndim == 1 else audio.mean(axis=1)
        if ratio != 1:
            from scipy.signal import resample_poly

            audio = resample_poly(audio, ratio.numerator, ratio.denominator)
        folder.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.tmp")
        soundfile.write(str(part), audio.clip(-1.0, 1.0), own, format="FLAC")
        part.replace(target)
    return str(target)


def remove_others(folder: Path, used: Set[str]) -> None:
    """Remove the copies below `folder` that no utterance uses any more."""
    for path in folder.rglob("*.flac"):
        ours = re.search(r"\.[0-9a-f]{16}\.flac$", path.name)
        if ours and str(path) not in used:
            path.unlink()


_KINDS = ("sound", "multi_columns_sound", "kaldi_ark")
_FAILURES = (RuntimeError, OSError, ValueError, EOFError)  # of the audio libraries


def _unreadable(path: PathLike, key: str, error: Exception) -> "UnreadableAudio":
    why = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return UnreadableAudio(
        f"{path}: the audio of utterance '{key}' cannot be read ({why}); write it "
        "again, or take it out of the set"
    )


class _ToldReader(Mapping):
    """A reader of ESPnet's that names the utterance that it cannot read."""

    def __init__(self, reader: Any, path: str) -> None:
        self.reader, self.path = reader, path

    def __getitem__(self, key: str) -> Any:
        try:
            return self.reader[key]
        except _FAILURES as error:
            raise _unreadable(self.path, key, error) from error

    def __len__(self) -> int:
        return len(self.reader)

    def __iter__(self) -> Any:
        return iter(self.reader)


class UnreadableAudio(UserError):
    """Told by a worker of a data loader, which adds its own traceback to the text."""

    def __init__(self, message: str) -> None:
        lines = message.strip().splitlines() or [message]
        super().__init__(lines[-1].split("UnreadableAudio: ")[-1])


def _told(load: Callable[..., Any]) -> Callable[..., Any]:
    def loader(path: str, **kwargs: Any) -> _ToldReader:
        return _ToldReader(load(path, **kwargs), path)

    loader.told = True  # type: ignore[attr-defined]
    return loader


def tell_unreadable_audio() -> None:
    """Have ESPnet's data sets name an utterance that cannot be read. Idempotent."""
    from espnet2.train import dataset

    for name in _KINDS:
        kind = dataset.DATA_TYPES[name]
        if not hasattr(kind["func"], "told"):
            kind["func"] = _told(kind["func"])


def tell_unreadable_lines(tables: Sequence[PathLike]) -> None:
    """Have ESPnet's decoding do the same, which reads its tables line by line.

    Args:
        tables: The tables that are decoded; only the audio's location is handed on to
            what reads it.
    """
    from espnet2.train import iterable_dataset

    def told(load: Callable[[str], Any]) -> Callable[[str], Any]:
        def loader(value: str) -> Any:
            try:
                return load(value)
            except _FAILURES as error:
                for path in tables:
                    for key, other in read_table(path).items():
                        if other == value:
                            raise _unreadable(path, key, error) from error
                raise

        loader.stock = load  # type: ignore[attr-defined]
        return loader

    for name in _KINDS:
        load = iterable_dataset.DATA_TYPES[name]
        iterable_dataset.DATA_TYPES[name] = told(getattr(load, "stock", load))
