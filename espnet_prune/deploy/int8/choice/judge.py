# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a deployed model hears with other files in it, and how wrong that is."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from espnet_prune.progress import progress
from espnet_prune.report.bootstrap import drawn, interval, paired, speakers_of
from espnet_prune.runtime.ctc import ctc_greedy
from espnet_prune.runtime.recognizer import Recognizer
from espnet_prune.utils import read_json


@dataclasses.dataclass
class Speech:
    """Utterances that calibrate and judge.

    Attributes:
        audio: Samples (S,), or features (T, C), float32, by utterance.
        texts: What is said, cleaned as the model's training had it; or nothing.
        speakers: Of each utterance, where they are known.
    """

    audio: Dict[str, np.ndarray]
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    speakers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Heard:
    """What was heard: texts, and the likeliest token of every frame by CTC."""

    texts: Dict[str, str]
    paths: Dict[str, np.ndarray]


class Judge:
    """Compares files of a deployed model with those in fp32.

    Args:
        folder: The deployed model.
        speech: Utterances.
    """

    def __init__(self, folder: Path, speech: Speech) -> None:
        self.folder, self.speech = folder, speech
        self.config = read_json(folder / "config.json")
        self.plain: Optional[Heard] = None

    def hear(self, files: Mapping[str, Path], what: str, by_ctc: bool = True) -> Heard:
        """Return what is heard.

        Args:
            files: By part of the model, such as "model", in place of those in fp32.
            what: What they are, for the progress.
            by_ctc: Take the best path of CTC, where there is one, and not the decoder.
        """
        audio = self.speech.audio
        by_ctc = by_ctc and self.config["ctc"]
        bar = progress(len(audio), f"heard: {what}", "utterances")
        found = Heard({}, {})
        with tempfile.TemporaryDirectory() as place:
            self._link(Path(place), files)
            heard = Recognizer(place, decoding="ctc_greedy" if by_ctc else None)
            for name, samples in audio.items():
                if by_ctc:
                    frames = self._frames(heard, samples)
                    found.paths[name] = frames.argmax(axis=1)
                    tokens = ctc_greedy(frames, self.config["blank"]).tokens
                    found.texts[name] = heard.text(tokens)
                else:
                    found.texts[name] = heard(samples).text
                bar.update()
        bar.close()
        return found

    def _frames(self, heard: Recognizer, samples: np.ndarray) -> np.ndarray:
        given = {
            self.config["input"]: samples[None],
            "lengths": np.array([len(samples)], np.int64),
        }
        values, count = heard.session.run(["log_probs", "out_lengths"], given)
        return values[0, : count[0]]

    def _link(self, place: Path, files: Mapping[str, Path]) -> None:
        """Make a deployed model of links, with other files in it."""
        config = {**self.config, "precision": "fp32"}
        config["files"] = {
            part: {"fp32": files[part].name if part in files else names["fp32"]}
            for part, names in config["files"].items()
        }
        for path in self.folder.iterdir():
            if path.is_file() and path.name != "config.json":
                os.symlink(path.resolve(), place / path.name)
        for name in ("tokens.txt", self.config["bpe_model"] or "bpe.model"):
            above = self.folder.resolve().parent / name  # where a size has them
            if above.is_file() and not (place / name).exists():
                os.symlink(above, place / name)
        for path in files.values():
            (place / path.name).unlink(missing_ok=True)
            os.symlink(path.resolve(), place / path.name)
        (place / "config.json").write_text(json.dumps(config))

    def compare(self, plain: Heard, other: Heard) -> Dict[str, Any]:
        """Return how much is lost.

        Args:
            plain: What is heard in fp32.
            other: What is heard otherwise.

        Returns:
            {measure: "wer" or "cer"; against: "transcripts" or "fp32"; utterances;
            drawn; fp32 and int8: error rates in percent; loss: their difference in
            points; interval: of the loss, 95 %; alike: share of frames, None without
            CTC}.
        """
        from rapidfuzz.distance import Levenshtein

        names = list(self.speech.audio)
        refs = self.speech.texts or plain.texts
        words = any(" " in text.strip() for text in [*refs.values()])
        split: Callable[[str], Any] = str.split if words else str

        def errors(heard: Heard) -> List[int]:
            pairs = [(split(heard.texts[n]), split(refs[n])) for n in names]
            return [Levenshtein.distance(*pair) for pair in pairs]

        sizes = [len(split(refs[n])) for n in names]
        groups = self._groups(names)
        before, after, total = errors(plain), errors(other), max(1, sum(sizes))
        alike = [other.paths[n] == path for n, path in plain.paths.items()]
        return {
            "measure": "wer" if words else "cer",
            "against": "transcripts" if self.speech.texts else "fp32",
            "utterances": len(names),
            "drawn": drawn(groups, len(names)),
            "fp32": 100.0 * sum(before) / total,
            "fp32_interval": list(interval(before, sizes, groups)),
            "int8": 100.0 * sum(after) / total,
            "loss": 100.0 * (sum(after) - sum(before)) / total,
            "interval": paired(after, before, sizes, groups)["interval"],
            "alike": float(np.concatenate(alike).mean()) if alike else None,
        }

    def _groups(self, names: Sequence[str]) -> Optional[Sequence[str]]:
        known = self.speech.speakers
        if any(name not in known for name in names):
            return None
        return speakers_of([known[name] for name in names])
