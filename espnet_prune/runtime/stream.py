# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Recognition of speech as it comes, by a model that hears it in blocks."""

import time
from typing import Any, List, Optional

import numpy as np

from .audio import as_samples, check_finite
from .blocks import Steps
from .ctc import ctc_greedy
from .errors import UserError, too_short
from .files import PathLike
from .package import read_package
from .result import Result
from .session import open_session
from .text import TextMaker


class Stream:
    """Recognises speech as it comes, by the likeliest path of CTC.

    Args:
        folder: What `espnet-prune deploy` has written, of a model that can.
        size: One of the sizes that lie in it.
        depth: One of the depths that lie in it.
        precision: "fp32" or "int8"; by default what deploying has found best.
        threads: Of one block.

    Raises:
        UserError: A file is missing or broken, or the model hears whole utterances.
    """

    def __init__(
        self,
        folder: PathLike,
        size: Optional[Any] = None,
        depth: Optional[Any] = None,
        precision: Optional[str] = None,
        threads: int = 1,
    ) -> None:
        self.package = read_package(folder, size, depth)
        self.config = config = self.package.config
        if config.stream is None or "step" not in config.files:
            raise UserError(
                f"{self.package.folder}: the model hears whole utterances, so it "
                "cannot hear speech as it comes; deploy a contextual-block model"
            )
        session = open_session(self.package.file("step", precision), threads)
        self.steps = Steps(session, config.stream, f"{self.package.folder}/config.json")
        self.text = TextMaker(self.package)
        self.reset()

    def reset(self) -> None:
        """Forget the utterance."""
        self.steps.reset()
        self.ids: List[int] = []
        self.frames: List[int] = []  # at which tokens begin
        self.heard, self.before = 0, -1  # frames that were said; the last one's token
        self.score = self.work = 0.0
        self.samples = 0

    def accept(self, samples: Any) -> Result:
        """Take samples that follow those before.

        Args:
            samples: (S,), at the model's rate, floats from -1 to 1 or signed integers;
                for a model without front end features (T, C).

        Returns:
            What is heard so far.

        Raises:
            UserError: Another shape or type, or samples that are not finite.
        """
        clock = time.perf_counter()
        samples = self._checked(samples)
        self.samples += len(samples)
        self._said(self.steps.accept(samples))
        self.work += time.perf_counter() - clock
        return self._result()

    def finish(self, where: str = "the stream") -> Result:
        """End the utterance; the next samples begin another one.

        Args:
            where: What was heard, for errors.

        Raises:
            UserError: It is too short.
        """
        clock, least = time.perf_counter(), self.config.min_samples
        if self.samples < least:
            found = self.samples
            self.reset()
            raise UserError(too_short(where, found, least, self.config.sample_rate))
        self._said(self.steps.finish())
        self.work += time.perf_counter() - clock
        result = self._result()
        self.reset()
        return result

    @property
    def blocks(self) -> int:
        """How many blocks of the utterance were heard."""
        return self.steps.blocks

    def _checked(self, samples: Any) -> np.ndarray:
        if self.config.input == "feats":
            samples = np.asarray(samples, np.float32)
            if samples.ndim != 2:
                raise UserError(f"the features have shape {samples.shape}, must be 2-D")
            return samples
        samples = as_samples(samples)
        if samples.ndim != 1:
            shape = samples.shape
            raise UserError(f"the samples have shape {shape}, must be (samples,)")
        check_finite(samples, self.samples, self.config.sample_rate, "the stream")
        return samples

    def _said(self, found: List[np.ndarray]) -> None:
        """Add what blocks say; a token that goes on over their border is one."""
        for log_probs in found:
            path = ctc_greedy(log_probs, self.config.blank, self.before)
            self.ids += path.tokens
            self.frames += [self.heard + time for time in path.times or []]
            self.score += path.score
            self.before = int(log_probs[-1].argmax())
            self.heard += len(log_probs)

    def _result(self) -> Result:
        step, rate = self.config.frame_ms / 1000, self.config.sample_rate
        seconds = self.samples / rate
        if self.config.input == "feats":
            seconds = self.samples / self.steps.layout.frame * step
        return Result(
            text=self.text(self.ids),
            tokens=self.text.symbols(self.ids),
            times=[round(frame * step, 3) for frame in self.frames],
            score=self.score,
            seconds=seconds,
            rtf=self.work / max(seconds, 1e-9),
        )
