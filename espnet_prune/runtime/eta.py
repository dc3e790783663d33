# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How far a long transcription is, and how long it will still take."""

import sys
import time
from typing import Any


class Eta:
    """Tells on stderr: a bar of tqdm on a terminal that has it, otherwise lines.

    Args:
        total: Seconds of audio in all.
        every: Seconds between two lines, and before the first.
    """

    def __init__(self, total: float, every: float = 10.0) -> None:
        self.total, self.every = total, every
        self.begin = self.last = time.perf_counter()
        self.bar = _bar(total) if sys.stderr.isatty() else None

    def tell(self, done: float) -> None:
        """Tell that so many seconds of audio are done."""
        if self.bar is not None:
            self.bar.update(min(done, self.total) - self.bar.n)
            return
        now = time.perf_counter()
        if now - self.last < self.every or not 0 < done <= self.total:
            return
        self.last = now
        left = (now - self.begin) * (self.total - done) / done
        line = f"{done:.0f} of {self.total:.0f} s of audio, about {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar away, for a line that is to be printed."""
        if self.bar is not None:
            self.bar.clear()

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()


def _bar(total: float) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    form = "{percentage:3.0f} % |{bar}| {n:.0f} of {total:.0f} s of audio, {remaining}"
    return tqdm(total=total, leave=False, bar_format=form)
