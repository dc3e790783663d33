# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A deployed model that recognises speech, by onnxruntime and numpy alone."""

import time
from typing import Any, Callable, Iterable, List, NamedTuple, Optional

import numpy as np

from .audio import as_samples, prepared, read_blocks
from .errors import UserError, too_short
from .files import PathLike
from .long import NEAR, OVERLAP, PIECE, Token, joined, pieces, sizes_of
from .package import read_package
from .result import Result
from .search import Search
from .session import open_session
from .text import TextMaker

Told = Callable[[float], Any]  # takes the seconds of audio that are done


class _Found(NamedTuple):
    """As `Hypothesis`, and the number of frames that it was found in."""

    tokens: List[int]
    score: float
    times: Optional[List[int]]
    frames: int


class Recognizer:
    """Recognises speech.

    Args:
        folder: What `espnet-prune deploy` has written.
        size: One of the sizes that lie in it.
        depth: One of the depths that lie in it.
        precision: "fp32" or "int8"; by default what deploying has found best.
        threads: Of one recognition.
        decoding: "ctc_greedy", "ctc_beam", "attention" or "transducer"; by default the
            decoder that the model has, or else "ctc_greedy".
        piece: Seconds; longer audio is recognised in pieces of this length.
        overlap: Seconds that two pieces have in common.
        options: Of beam searches, in place of those in config.json: beam_size,
            ctc_weight, penalty, maxlenratio, minlenratio.

    Raises:
        UserError: A file is missing or broken, or what is asked for is not there.
    """

    def __init__(
        self,
        folder: PathLike,
        size: Optional[Any] = None,
        depth: Optional[Any] = None,
        precision: Optional[str] = None,
        threads: int = 1,
        decoding: Optional[str] = None,
        piece: float = PIECE,
        overlap: float = OVERLAP,
        **options: Any,
    ) -> None:
        if not 0 <= 2 * overlap < piece:
            raise UserError(
                f"overlap is {overlap:g} s, must be less than half of a piece, which "
                f"is {piece:g} s"
            )
        self.package = read_package(folder, size, depth)
        self.config = self.package.config
        self.search = Search(self.package, precision, threads, decoding, options)
        self.text = TextMaker(self.package)
        self.session = open_session(self.package.file("model", precision), threads)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.piece, self.overlap = piece, overlap

    def __call__(self, waveform: Any, sample_rate: Optional[int] = None) -> Result:
        """Recognise an utterance.

        Args:
            waveform: (S,) or (S, channels), floats from -1 to 1 or signed integers;
                for a model without front end features (T, C).
            sample_rate: In Hz; by default that of the model.

        Raises:
            UserError: Another shape or type, too short, or samples that are not finite.
        """
        begin = time.perf_counter()
        where, rate = "the waveform", self.config.sample_rate
        if self.config.input == "feats":
            return self._features(np.asarray(waveform, np.float32), begin)
        blocks = prepared([as_samples(waveform)], sample_rate or rate, rate, where)
        return self._recognise(blocks, where, begin)

    def file(self, path: PathLike, told: Optional[Told] = None) -> Result:
        """Recognise a file, of which only a piece is in memory at a time.

        Args:
            path: What libsndfile reads.
            told: Called after every piece with the seconds that are done.

        Raises:
            UserError: As above, or the file is missing or cannot be read.
        """
        if self.config.input == "feats":
            raise UserError(
                f"{self.package.folder}: the model has no front end, it takes features "
                "instead of audio; call Recognizer with an array (frames, size)"
            )
        begin = time.perf_counter()
        blocks = read_blocks(path, self.config.sample_rate)
        return self._recognise(blocks, str(path), begin, told)

    def _recognise(
        self,
        blocks: Iterable[np.ndarray],
        where: str,
        begin: float,
        told: Optional[Told] = None,
    ) -> Result:
        """Recognise audio piece by piece; `begin` is when the work began."""
        rate, shortest = self.config.sample_rate, self.config.min_samples
        size, overlap = sizes_of(self.config, self.piece, self.overlap)
        tokens: List[Token] = []
        score = end = 0.0
        for first, samples in pieces(blocks, size, overlap, shortest):
            if len(samples) < shortest:
                raise UserError(too_short(where, len(samples), shortest, rate))
            start, found = first / rate, self._decode(samples)
            seconds = len(samples) / rate
            after = self._timed(found, start, seconds)
            near = self.overlap if found.times is None else NEAR
            tokens = joined(tokens, after, start, end, near) if first else after
            score, end = score + found.score, start + seconds
            if told is not None:
                told(end)
        return self._result(tokens, score, end, begin)

    def _features(self, features: np.ndarray, begin: float) -> Result:
        """Recognise features (T, C)."""
        size, shortest = self.config.feature_size, self.config.min_samples
        if features.ndim != 2 or features.shape[1] != (size or features.shape[1]):
            raise UserError(
                f"the features have shape {features.shape}, must be (frames, {size})"
            )
        if len(features) < shortest:
            raise UserError(
                f"{len(features)} frames of features are too few for this model, which "
                f"needs {shortest}"
            )
        if not np.isfinite(features).all():
            raise UserError("the features have values that are not finite")
        found = self._decode(features)
        seconds = found.frames * self.config.frame_ms / 1000
        return self._result(
            self._timed(found, 0.0, seconds), found.score, seconds, begin
        )

    def _decode(self, inputs: np.ndarray) -> _Found:
        """Recognise samples (S,) or features (T, C) at once."""
        given = {
            self.config.input: inputs[None],
            "lengths": np.array([len(inputs)], np.int64),
        }
        values = dict(zip(self.outputs, self.session.run(self.outputs, given)))
        frames = int(values.pop("out_lengths")[0])
        outputs = {name: value[0, :frames] for name, value in values.items()}
        return _Found(*self.search(outputs), frames)

    def _timed(self, found: _Found, start: float, seconds: float) -> List[Token]:
        """Return tokens and their times; evenly spread where no search knows them."""
        if found.times is None:
            step = seconds / max(1, len(found.tokens))
            times = [step * i for i in range(len(found.tokens))]
        else:
            times = [frame * self.config.frame_ms / 1000 for frame in found.times]
        return [Token(i, start + t) for i, t in zip(found.tokens, times)]

    def _result(
        self, tokens: List[Token], score: float, seconds: float, begin: float
    ) -> Result:
        ids = [token.id for token in tokens]
        rtf = (time.perf_counter() - begin) / max(seconds, 1e-9)
        return Result(
            text=self.text(ids),
            tokens=self.text.symbols(ids),
            times=[round(token.time, 3) for token in tokens],
            score=score,
            seconds=seconds,
            rtf=rtf,
        )
