# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Which parts of an ONNX file are int8: those that pay and lose little, as measured."""

import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from espnet_prune.deploy.int8.choice.judge import Heard, Judge
from espnet_prune.deploy.int8.clock import in_turns
from espnet_prune.deploy.int8.parts import Part, parts_of
from espnet_prune.deploy.int8.piece import times_of
from espnet_prune.deploy.int8.quantize import Inputs, load, write_int8

FASTER = 1.15  # than fp32, or it is not worth an error
SECONDS = 5.0  # that a whole file is timed


class Rules(NamedTuple):
    """What int8 may cost.

    Attributes:
        max_wer_loss: Points of the error rate.
        reduce_range: See `cpu`.
        must_be_faster: Whether what is not faster stays in fp32.
    """

    max_wer_loss: float
    reduce_range: bool
    must_be_faster: bool = True


class File:
    """One ONNX file of a deployed model, and what became of it in int8.

    Args:
        part: Which it is: "model", "decoder" and so on.
        folder: Of the deployed model.
        inputs: Of a typical run, by which it is timed.
        calibration: More inputs.
        rules: What int8 may cost.

    Attributes:
        rows: A line of the table for each part.
        score: What the file in int8 has lost; None if nothing is int8.
        times: {"fp32": ms, "int8": ms} of the whole file.
    """

    def __init__(
        self,
        part: str,
        folder: Path,
        inputs: Inputs,
        calibration: Sequence[Inputs],
        rules: Rules,
    ) -> None:
        self.part, self.rules = part, rules
        self.source = folder / f"{part}.onnx"
        self.target = folder / f"{part}.int8.onnx"
        self.inputs, self.calibration = inputs, calibration
        self.model = load(self.source)
        self.parts = parts_of(self.model)
        self.rows: Dict[str, Dict[str, Any]] = {}
        self.score: Any = None
        self.times: Dict[str, float] = {}

    def decide(self, judge: Judge, plain: Heard, files: Mapping[str, Path]) -> bool:
        """Write the file in int8, as far as that pays, and say whether there is one.

        Args:
            judge: Says what is lost.
            plain: What is heard in fp32.
            files: Of parts of the model that are int8 already.
        """
        kept = self._faster()
        while kept:
            self._write(self.target, kept)
            self.score = self._score(self.target, "int8", judge, plain, files)
            if self.score["loss"] <= self.rules.max_wer_loss:
                break
            worst = self._worst(kept, judge, plain, files)
            score = worst.pop("score")
            self._refuse(worst["part"], f"loses {loss_of(score)}")
            kept = [part for part in kept if part.name != worst["part"]]
        if kept:
            both = {"fp32": self.source, "int8": self.target}
            self.times = in_turns(both, self.inputs, SECONDS)
            ratio = self.times["fp32"] / self.times["int8"]
            if self.rules.must_be_faster and ratio < FASTER:
                for part in kept:
                    self._refuse(part.name, f"the whole is {ratio:.2f} x as fast")
                kept = []
        if not kept:
            self.target.unlink(missing_ok=True)
            self.score = None
        return bool(kept)

    def _faster(self) -> List[Part]:
        """Time the parts; return those that are faster, and begin the table."""
        logging.info(f"{self.source.name}: {len(self.parts)} parts are timed")
        reduce = self.rules.reduce_range
        times = times_of(self.model, self.parts, self.inputs, reduce)
        kept = []
        for name, part in self.parts.items():
            ratio = times[name]["fp32"] / times[name]["int8"]
            self.rows[name] = {
                "file": self.part,
                "part": name,
                "products": len(part.nodes),
                "weights": part.params,
                "fp32_ms": times[name]["fp32"],
                "int8_ms": times[name]["int8"],
                "int8": True,
                "why": "",
            }
            if self.rules.must_be_faster and ratio < FASTER:
                self._refuse(name, f"{ratio:.2f} x as fast")
            else:
                kept.append(part)
        return kept

    def _worst(
        self, kept: List[Part], judge: Judge, plain: Heard, files: Mapping[str, Path]
    ) -> Dict[str, Any]:
        """Return which part loses most when it alone is int8: {part, score}."""
        alone = self.target.with_suffix(".alone.onnx")
        found = []
        try:
            for part in kept if len(kept) > 1 else []:
                self._write(alone, [part])
                score = self._score(alone, part.name, judge, plain, files)
                found.append({"part": part.name, "score": score})
        finally:
            alone.unlink(missing_ok=True)
        if not found:
            return {"part": kept[0].name, "score": self.score}

        def lost(row: Dict[str, Any]) -> Tuple[float, float]:
            return row["score"]["loss"], -(row["score"]["alike"] or 0.0)

        return max(found, key=lost)

    def _score(
        self,
        path: Path,
        what: str,
        judge: Judge,
        plain: Heard,
        files: Mapping[str, Path],
    ) -> Dict[str, Any]:
        """Return what is lost with a file in place of this one."""
        by_ctc = self.part == "model"
        heard = judge.hear({**files, self.part: path}, what, by_ctc)
        return judge.compare(plain, heard)

    def _write(self, path: Path, parts: List[Part]) -> None:
        write_int8(self.model, path, parts, self.calibration, self.rules.reduce_range)

    def _refuse(self, name: str, why: str) -> None:
        self.rows[name].update(int8=False, why=why)


def loss_of(score: Mapping[str, Any]) -> str:
    """Return a loss in words, such as "+0.8 [+0.1, +1.5]"."""
    low, high = score["interval"]
    return f"{score['loss']:+.2f} [{low:+.2f}, {high:+.2f}]"
