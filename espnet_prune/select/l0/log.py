# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The log of a training of gates: a JSON line per interval."""

import json
from pathlib import Path
from typing import Dict, Mapping

from espnet_prune.utils import PathLike, atomic_write


class GateLog:
    """Appends to select.jsonl.

    Args:
        path: The file; its lines from this step on, of a run that was resumed, go.
        step: The step that comes next.
        interval: Steps between two lines.
    """

    def __init__(self, path: PathLike, step: int, interval: int) -> None:
        self.path, self.interval = Path(path), interval
        self._notes: Dict[str, float] = {}
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step(line) < step]
            with atomic_write(self.path) as stream:
                stream.writelines(line + "\n" for line in kept)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def due(self, step: int) -> bool:
        """Say whether a step has a line."""
        return step % self.interval == 0

    def note(self, parts: Mapping[str, float]) -> None:
        """Remember parts of the loss for the next line."""
        self._notes = dict(parts)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the line of a step, with what was noted."""
        values = {**values, **self._notes}
        line = {"step": step, **{k: round(v, 5) for k, v in values.items()}}
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return 2**62  # a line that a crash cut short
