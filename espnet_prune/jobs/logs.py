# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Logs of jobs: kept, watched while the jobs run, searched for a reason."""

import functools
import importlib.util
import re
from pathlib import Path
from typing import List


def rotate(log: Path, keep: int) -> None:
    """Rename LOG to LOG.1, LOG.1 to LOG.2, and so on; at most `keep` remain."""
    for i in range(keep, 0, -1):
        older = log.with_name(f"{log.name}.{i - 1}") if i > 1 else log
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{i}"))


def error_line(log: Path) -> str:
    """The last line of a log by which a command has explained its exit code 2."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    found = [line for line in lines if re.match(r"(?!srun|slurm)[\w.]+: error: ", line)]
    return found[-1] if found else ""


class Watcher:
    """Follows the logs of running jobs and reports what was asked for.

    Args:
        logs: The logs.
        show: Lines that match it are printed.
        count: Lines that match it are counted, where tqdm is installed.
        total: How many will be counted in the end.
    """

    def __init__(
        self, logs: List[Path], show: str = "", count: str = "", total: str = "0"
    ) -> None:
        if importlib.util.find_spec("tqdm") is None:  # the launcher needs no package
            count = ""
        self.show, self.count = re.compile(show), re.compile(count)
        self.total, self.progress = int(total), None
        self.positions = {log: 0 for log in logs if show or count}

    def poll(self) -> None:
        """Read what the logs have got since the last call."""
        for log, position in self.positions.items():
            try:
                with open(log, "rb") as f:
                    f.seek(position)
                    new = f.read()
            except OSError:
                continue
            new = new[: new.rfind(b"\n") + 1]
            self.positions[log] += len(new)
            for line in new.decode("utf-8", "replace").splitlines():
                if line.startswith("#"):
                    continue
                if self.show.pattern and self.show.search(line):
                    print(line, flush=True)
                if self.count.pattern and self.count.search(line):
                    self.step()

    def step(self) -> None:
        """Count a line; time runs from the first, since loading comes before."""
        if self.progress is None:
            from espnet_prune.progress import progress

            tell = functools.partial(print, flush=True)
            self.progress = progress(self.total, "so far", "done", tell)
        self.progress.update()
