# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every set of blocks that was evaluated, in a table that a search resumes from."""

import logging
from pathlib import Path
from typing import Dict, Iterable, Optional, Tuple

from espnet_prune.utils import PathLike, UserError, atomic_write


class Tried:
    """Results by removal set, kept in a TSV file if one is given.

    A line is appended and flushed per result, so that a killed search loses at most the
    one it was at.

    Args:
        path: The TSV file; without it the results live in memory only.
        about: What the results depend on (model, data, metric). A file about something
            else is put aside.
        loss: What the loss is called.

    Raises:
        UserError: The file is not such a table.
    """

    def __init__(
        self,
        path: Optional[PathLike] = None,
        about: str = "",
        loss: str = "ctc_loss",
    ) -> None:
        self.path = None if path is None else Path(path)
        self._results: Dict[Tuple[int, ...], Tuple[float, float]] = {}
        self._loss, self._columns = loss, f"removed\tblocks_removed\terror\t{loss}"
        if self.path is None:
            return
        if self.path.exists():
            text = self.path.read_text(encoding="utf-8")
            if text.startswith(f"# {about}\n"):
                self._read(text)
            else:
                aside = self.path.with_suffix(self.path.suffix + ".old")
                logging.info(f"{self.path} is about another model or data: {aside}")
                self.path.replace(aside)
        # a whole file again: a killed search may have left a half line
        with atomic_write(self.path) as stream:
            stream.write(f"# {about}\n{self._columns}\n")
            for removed, result in self._results.items():
                stream.write(self._line(removed, result))

    def __contains__(self, removed: Tuple[int, ...]) -> bool:
        return removed in self._results

    def __getitem__(self, removed: Tuple[int, ...]) -> Tuple[float, float]:
        return self._results[removed]

    def __len__(self) -> int:
        return len(self._results)

    def items(self) -> Iterable[Tuple[Tuple[int, ...], Tuple[float, float]]]:
        """Return (removal set, (error, loss)) in the order of evaluation."""
        return self._results.items()

    def add(self, removed: Tuple[int, ...], error: float, loss: float) -> None:
        """Keep a result, and append it to the file."""
        self._results[removed] = (error, loss)
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(self._line(removed, (error, loss)))

    def merge(self, path: PathLike) -> None:
        """Add the results of another table, one that a parallel job has written.

        Raises:
            UserError: The file is missing or not such a table.
        """
        path = Path(path)
        if not path.exists():
            raise UserError(f"{path}: no such file; see the log of the job beside it")
        other = Tried(loss=self._loss)
        other.path = path
        other._read(path.read_text(encoding="utf-8"))
        for removed, result in other.items():
            if removed not in self:
                self.add(removed, *result)

    @staticmethod
    def _line(removed: Tuple[int, ...], result: Tuple[float, float]) -> str:
        names = ",".join(map(str, removed)) or "-"
        return f"{names}\t{len(removed)}\t{result[0]!r}\t{result[1]!r}\n"

    def _read(self, text: str) -> None:
        # what follows the last newline was cut off by a kill
        lines = text.split("\n")[:-1]
        if lines[1:2] != [self._columns]:
            raise UserError(f"{self.path}: not a table of evaluated sets; remove it")
        for n, line in enumerate(lines[2:], start=3):
            try:
                names, _, error, loss = line.split("\t")
                removed = () if names == "-" else tuple(map(int, names.split(",")))
                self._results[removed] = (float(error), float(loss))
            except ValueError:
                raise UserError(
                    f"{self.path}: line {n} is not an evaluated set; remove the file"
                ) from None
