#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make the mini_speech corpus: stage 1 of the recipe.

Writes Kaldi-style directories `DATA_DIR/{train,dev,test}` with wav.scp, text, utt2spk,
spk2utt, utt2dur and 16 kHz mono FLAC under `audio/`, and `test_large` where it is among
--test_sets. Paths in wav.scp are relative to DATA_DIR. The same seed gives the same
bytes, whichever sets are made; a finished split is skipped. With --intents true a line
of text begins with the intent, and nothing else changes.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Set

import grammar
import numpy as np
import soundfile
from scipy.signal import lfilter, resample_poly
from synth import Synthesiser
from voices import Speaker, speakers

from espnet_prune.data.corpus import write_dir
from espnet_prune.progress import progress
from espnet_prune.utils import UserError, read_json, run_main, setup_logging, write_json

SPLITS = ("test", "dev", "train")  # the held-out sentences are drawn first
LARGE = "test_large"  # its sentences are those that the others have left
SAMPLE_RATE = 16000
VERSION = 1  # raise it when the audio of a seed changes
MANIFEST = "mini_speech.json"


class Utterance(NamedTuple):
    """What to say, who says it, and how."""

    name: str
    speaker: Speaker
    text: str
    rate: int
    pitch: int


def rng_of(*names: object) -> np.random.Generator:
    """Return a generator that depends on the names only, not on the order of calls."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def plan(seed: int, per_speaker: Dict[str, int]) -> Dict[str, List[Utterance]]:
    """Choose sentences and speaking styles; no sentence occurs twice in the corpus.

    Args:
        seed: Seed of the corpus.
        per_speaker: Sentences of each speaker by split; the splits choose in turn.
    """
    taken: Set[str] = set()
    result = {}
    for split in per_speaker:
        people, count = speakers(split), per_speaker[split]
        texts = grammar.sentences(
            rng_of(seed, split, "text"), count * len(people), taken
        )
        utterances = []
        for i, text in enumerate(texts):
            who = people[i // count]
            name = f"{who.name}-{i % count:03d}"
            rng = rng_of(seed, name, "style")
            rate = int(np.clip(who.rate + rng.integers(-12, 13), 120, 230))
            pitch = int(np.clip(who.pitch + rng.integers(-6, 7), 0, 99))
            utterances.append(Utterance(name, who, text, rate, pitch))
        result[split] = utterances
    return result


def digest(utterances: Dict[str, List[Utterance]]) -> str:
    """Return a hash of what is said in some splits, by whom and how."""
    return hashlib.sha256(repr(sorted(utterances.items())).encode()).hexdigest()


def render(
    synthesiser: Synthesiser, utt: Utterance, seed: int, snr: List[float]
) -> np.ndarray:
    """Speak an utterance and add pauses, a gain and noise.

    Args:
        synthesiser: The running synthesiser.
        utt: The utterance.
        seed: Seed of the corpus.
        snr: Lowest and highest signal-to-noise ratio in dB.

    Returns:
        int16 samples (num_samples,) at 16 kHz.
    """
    speech = synthesiser.speak(
        utt.text, utt.speaker.accent, utt.speaker.variant, utt.rate, utt.pitch
    ).astype(np.float64)
    common = int(np.gcd(SAMPLE_RATE, synthesiser.sample_rate))
    speech = resample_poly(
        speech, SAMPLE_RATE // common, synthesiser.sample_rate // common
    )
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    speech = speech[loud[0] : loud[-1] + 1]
    rng = rng_of(seed, utt.name, "noise")
    before, after = rng.uniform(0.05, 0.25, size=2)
    signal = np.pad(
        speech * 0.1 / np.sqrt(np.mean(speech**2)),
        (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)),
    )
    # between white and brownish: a one-pole low-pass of random strength
    noise = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.95)], rng.normal(size=len(signal)))
    noise *= 0.1 * 10 ** (-rng.uniform(*snr) / 20) / np.sqrt(np.mean(noise**2))
    signal = (signal + noise) * 10 ** (rng.uniform(-8.0, 2.0) / 20)
    return np.clip(np.rint(signal * 32767), -32768, 32767).astype(np.int16)


def write_split(
    synthesiser: Synthesiser,
    utterances: List[Utterance],
    target: Path,
    fingerprint: Dict[str, object],
    snr: List[float],
    bar: Any,
) -> None:
    """Write one split to a temporary directory and rename it to `target`."""
    work = target.parent / f".{target.name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    names = ("wav.scp", "text", "utt2spk", "utt2dur")
    tables: Dict[str, Dict[str, str]] = {name: {} for name in names}
    pcm, total = hashlib.sha256(), 0
    for utt in sorted(utterances, key=lambda u: u.name):
        samples = render(synthesiser, utt, int(str(fingerprint["seed"])), snr)
        relative = Path("audio") / utt.speaker.name / f"{utt.name}.flac"
        path = work / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        pcm.update(samples.tobytes())
        total += len(samples)
        tables["wav.scp"][utt.name] = str(target.name / relative)
        intent = f"{grammar.intent(utt.text)} " if "intents" in fingerprint else ""
        tables["text"][utt.name] = intent + utt.text
        tables["utt2spk"][utt.name] = utt.speaker.name
        tables["utt2dur"][utt.name] = f"{len(samples) / SAMPLE_RATE:.4f}"
        bar.update()
    write_dir(work, tables)
    facts = {
        "fingerprint": fingerprint,
        "utterances": len(utterances),
        "minutes": round(total / SAMPLE_RATE / 60, 2),
        "pcm_sha256": pcm.hexdigest(),
        "espeak_ng": synthesiser.version,
    }
    write_json(facts, work / MANIFEST)
    os.sync()
    if target.exists():
        shutil.rmtree(target)
    os.replace(work, target)


def finished(target: Path, fingerprint: Dict[str, object]) -> bool:
    """Tell whether `target` holds this very split.

    Raises:
        UserError: The directory exists and was not made by this program.
    """
    if not target.exists():
        return False
    if not (target / MANIFEST).is_file():
        raise UserError(
            f"{target} exists and is not mini_speech data; give another --data_dir"
        )
    return read_json(target / MANIFEST).get("fingerprint") == fingerprint


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description="Make the mini_speech corpus with espeak-ng",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data_dir", type=Path, default=Path("corpus"), help="where to write"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the corpus")
    parser.add_argument(
        "--test_sets", default="test", help=f"{LARGE} among them is made, too"
    )
    for split, default in (("train", 11), ("dev", 20), ("test", 22), (LARGE, 100)):
        parser.add_argument(
            f"--{split}_utts",
            type=int,
            default=default,
            help=f"sentences of each of the {len(speakers(split))} {split} speakers",
        )
    parser.add_argument(
        "--intents",
        choices=["true", "false"],
        default="false",
        help="text for spoken language understanding: the intent, then the sentence",
    )
    parser.add_argument(
        "--snr",
        type=float,
        nargs=2,
        default=[20.0, 35.0],
        metavar=("LOW", "HIGH"),
        help="range of the signal-to-noise ratio in dB",
    )
    return parser


def main() -> None:
    """Command line entry."""
    args = get_parser().parse_args()
    setup_logging()
    splits = [*SPLITS, *([LARGE] if LARGE in args.test_sets.split() else [])]
    per_speaker = {split: getattr(args, f"{split}_utts") for split in splits}
    if min(per_speaker.values()) < 1 or max(per_speaker.values()) > 999:
        names = ", ".join(f"--{split}_utts" for split in splits)
        raise UserError(f"{names} must be 1 to 999")
    if not args.snr[0] <= args.snr[1]:
        raise UserError(f"--snr {args.snr[0]} {args.snr[1]}: LOW must not exceed HIGH")
    utterances = plan(args.seed, per_speaker)
    common: Dict[str, Any] = {
        "version": VERSION,
        "seed": args.seed,
        "snr": args.snr,
        "plan": digest({split: utterances[split] for split in SPLITS}),
    }
    if args.intents == "true":
        common["intents"] = True
    # the three go together, and are the same whether the large one is there or not
    wanted = dict.fromkeys(SPLITS, common)
    if LARGE in splits:
        wanted[LARGE] = {**common, "plan": digest({LARGE: utterances[LARGE]})}
    missing = [s for s in wanted if not finished(args.data_dir / s, wanted[s])]
    for split in wanted:
        if split not in missing:
            print(f"mini_speech {split}: finished before, skipped", file=sys.stderr)
    if missing:
        total = sum(len(utterances[s]) for s in missing)
        bar = progress(total, "mini_speech", "utterances")
        args.data_dir.mkdir(parents=True, exist_ok=True)
        with Synthesiser() as synthesiser:
            warning = synthesiser.warning()
            if warning:
                print(f"mini_speech: warning: {warning}", file=sys.stderr)
            for split in missing:
                target = args.data_dir / split
                write_split(
                    synthesiser, utterances[split], target, wanted[split], args.snr, bar
                )
    for split in (*reversed(SPLITS), *splits[len(SPLITS) :]):
        facts = read_json(args.data_dir / split / MANIFEST)
        print(
            f"mini_speech {split}: {facts['utterances']} utterances, "
            f"{facts['minutes']} minutes, {len(speakers(split))} speakers",
            file=sys.stderr,
        )


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        run_main(main)
