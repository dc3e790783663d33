# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Splits of a synthetic corpus: spoken, written as Kaldi-style directories, resumed."""

import argparse
import hashlib
import os
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import numpy as np
import soundfile
from scipy.signal import resample_poly
from synth import Synthesiser

from espnet_prune.data.corpus import write_dir
from espnet_prune.progress import progress
from espnet_prune.utils import UserError, read_json, write_json

SAMPLE_RATE = 16000


class Utterance(NamedTuple):
    """What to say, who says it, and how."""

    name: str
    speaker: Any  # see voices.Speaker
    text: str
    rate: int
    pitch: int


Plan = Dict[str, List[Utterance]]
Fingerprint = Dict[str, Any]


class Corpus(NamedTuple):
    """What is made, and how.

    Attributes:
        name: Of the corpus.
        data_dir: Where the splits go.
        utterances: By split.
        wanted: What a finished split is known by.
        render: Makes the int16 samples (num_samples,) of an utterance, at 16 kHz.
        text: Makes its line of text.
    """

    name: str
    data_dir: Path
    utterances: Plan
    wanted: Dict[str, Fingerprint]
    render: Callable[[Synthesiser, Utterance], np.ndarray]
    text: Callable[[Utterance], str]

    def manifest(self, folder: Path) -> Path:
        """The file that says what a folder holds."""
        return folder / f"{self.name}.json"

    def finished(self, split: str) -> bool:
        """Tell whether this very split is there.

        Raises:
            UserError: The directory exists and was not made by this program.
        """
        target = self.data_dir / split
        if not target.exists():
            return False
        if not self.manifest(target).is_file():
            raise UserError(
                f"{target} exists and is not {self.name} data; "
                "give another --data_dir"
            )
        facts = read_json(self.manifest(target))
        return facts.get("fingerprint") == self.wanted[split]


def rng_of(*names: object) -> np.random.Generator:
    """Return a generator that depends on the names only, not on the order of calls."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def digest(utterances: Plan) -> str:
    """Return a hash of what is said in some splits, by whom and how."""
    return hashlib.sha256(repr(sorted(utterances.items())).encode()).hexdigest()


def check_counts(per_speaker: Dict[str, int]) -> None:
    """Check the numbers of sentences of each speaker, by split.

    Raises:
        UserError: One is not 1 to 999.
    """
    if min(per_speaker.values()) < 1 or max(per_speaker.values()) > 999:
        names = ", ".join(f"--{split}_utts" for split in per_speaker)
        raise UserError(f"{names} must be 1 to 999")


def add_snr(parser: argparse.ArgumentParser, low: float, high: float) -> None:
    """Add --snr.

    Args:
        parser: The parser.
        low: The least signal-to-noise ratio by default, in dB.
        high: The largest.
    """
    parser.add_argument(
        "--snr",
        type=float,
        nargs=2,
        default=[low, high],
        metavar=("LOW", "HIGH"),
        help="range of the signal-to-noise ratio in dB",
    )


def check_snr(snr: Sequence[float]) -> None:
    """Check a range of signal-to-noise ratios, in dB.

    Raises:
        UserError: Its ends are in the wrong order.
    """
    if not snr[0] <= snr[1]:
        raise UserError(f"--snr {snr[0]} {snr[1]}: LOW must not exceed HIGH")


def spoken(synthesiser: Synthesiser, utt: Utterance, stretch: float = 1) -> np.ndarray:
    """Speak an utterance.

    Args:
        synthesiser: The running synthesiser.
        utt: The utterance.
        stretch: Its length; a longer one is deeper, with lower formants.

    Returns:
        Samples (num_samples,) at 16 kHz from the first loud one to the last, with an
        effective value of 0.1.
    """
    who = utt.speaker
    speech = synthesiser.speak(
        utt.text, who.accent, who.variant, utt.rate, utt.pitch
    ).astype(np.float64)
    ratio = Fraction(SAMPLE_RATE, synthesiser.sample_rate)
    if stretch != 1:  # a short filter
        ratio = (ratio * Fraction(stretch)).limit_denominator(250)
    speech = resample_poly(speech, ratio.numerator, ratio.denominator)
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    speech = speech[loud[0] : loud[-1] + 1]
    return speech * 0.1 / np.sqrt(np.mean(speech**2))


def pcm(signal: np.ndarray) -> np.ndarray:
    """Samples (num_samples,) of -1 to 1 as int16, clipped."""
    return np.clip(np.rint(signal * 32767), -32768, 32767).astype(np.int16)


def write_split(corpus: Corpus, split: str, synthesiser: Synthesiser, bar: Any) -> None:
    """Write one split to a temporary directory and rename it.

    Audio that an earlier call has left there is not made again.
    """
    target = corpus.data_dir / split
    work = target.parent / f".{split}.partial"
    facts = {"fingerprint": corpus.wanted[split], "espeak_ng": synthesiser.version}
    note = corpus.manifest(work)
    if not note.is_file() or read_json(note) != facts:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        write_json(facts, note)
    names = ("wav.scp", "text", "utt2spk", "utt2dur")
    tables: Dict[str, Dict[str, str]] = {name: {} for name in names}
    hashed, total = hashlib.sha256(), 0
    for utt in sorted(corpus.utterances[split], key=lambda u: u.name):
        relative = Path("audio") / utt.speaker.name / f"{utt.name}.flac"
        path = work / relative
        if path.is_file():
            samples, _ = soundfile.read(path, dtype="int16")
        else:
            samples = corpus.render(synthesiser, utt)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            soundfile.write(part, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            os.replace(part, path)
        hashed.update(samples.tobytes())
        total += len(samples)
        tables["wav.scp"][utt.name] = str(Path(split) / relative)
        tables["text"][utt.name] = corpus.text(utt)
        tables["utt2spk"][utt.name] = utt.speaker.name
        tables["utt2dur"][utt.name] = f"{len(samples) / SAMPLE_RATE:.4f}"
        bar.update()
    write_dir(work, tables)
    told = {
        "utterances": len(corpus.utterances[split]),
        "minutes": round(total / SAMPLE_RATE / 60, 2),
        "pcm_sha256": hashed.hexdigest(),
    }
    write_json({**facts, **told}, note)
    os.sync()
    if target.exists():
        shutil.rmtree(target)
    os.replace(work, target)


def make(corpus: Corpus) -> None:
    """Make the splits that are not there, and say what all of them hold.

    Raises:
        UserError: See `Corpus.finished` and `Synthesiser`.
    """
    missing = [split for split in corpus.wanted if not corpus.finished(split)]
    for split in corpus.wanted:
        if split not in missing:
            print(f"{corpus.name} {split}: finished before, skipped", file=sys.stderr)
    if missing:
        total = sum(len(corpus.utterances[split]) for split in missing)
        bar = progress(total, corpus.name, "utterances")
        corpus.data_dir.mkdir(parents=True, exist_ok=True)
        with Synthesiser() as synthesiser:
            warning = synthesiser.warning()
            if warning:
                print(f"{corpus.name}: warning: {warning}", file=sys.stderr)
            for split in missing:
                write_split(corpus, split, synthesiser, bar)
    for split, utterances in corpus.utterances.items():
        facts = read_json(corpus.manifest(corpus.data_dir / split))
        people = {utt.speaker.name for utt in utterances}
        print(
            f"{corpus.name} {split}: {facts['utterances']} utterances, "
            f"{facts['minutes']} minutes, {len(people)} speakers",
            file=sys.stderr,
        )
