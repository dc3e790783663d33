#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make the mini_speech corpus: stage 1 of the recipe.

Writes Kaldi-style directories `DATA_DIR/{train,dev,test}` with wav.scp, text, utt2spk,
spk2utt, utt2dur and 16 kHz mono FLAC under `audio/`, and `test_large` where it is among
--test_sets. Paths in wav.scp are relative to DATA_DIR. The same seed gives the same
bytes, whichever sets are made; a finished split is skipped, and one that was
interrupted goes on. With --intents true a line of text begins with the intent, and
nothing else changes.
"""

import argparse
import contextlib
from pathlib import Path
from typing import Any, Dict, List, Set

import grammar
import numpy as np
import splits
from scipy.signal import lfilter
from splits import SAMPLE_RATE, Plan, Utterance, rng_of
from synth import Synthesiser
from voices import speakers

from espnet_prune.utils import run_main, setup_logging

SPLITS = ("test", "dev", "train")  # the held-out sentences are drawn first
LARGE = "test_large"  # its sentences are those that the others have left
VERSION = 1  # raise it when the audio of a seed changes


def plan(seed: int, per_speaker: Dict[str, int]) -> Plan:
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
    speech = splits.spoken(synthesiser, utt)
    rng = rng_of(seed, utt.name, "noise")
    before, after = rng.uniform(0.05, 0.25, size=2)
    signal = np.pad(speech, (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)))
    # between white and brownish: a one-pole low-pass of random strength
    noise = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.95)], rng.normal(size=len(signal)))
    noise *= 0.1 * 10 ** (-rng.uniform(*snr) / 20) / np.sqrt(np.mean(noise**2))
    return splits.pcm((signal + noise) * 10 ** (rng.uniform(-8.0, 2.0) / 20))


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
    splits.add_snr(parser, 20.0, 35.0)
    return parser


def main() -> None:
    """Command line entry."""
    args = get_parser().parse_args()
    setup_logging()
    names = [*SPLITS, *([LARGE] if LARGE in args.test_sets.split() else [])]
    per_speaker = {split: getattr(args, f"{split}_utts") for split in names}
    splits.check_counts(per_speaker)
    splits.check_snr(args.snr)
    utterances, intents = plan(args.seed, per_speaker), args.intents == "true"
    common: Dict[str, Any] = {
        "version": VERSION,
        "seed": args.seed,
        "snr": args.snr,
        "plan": splits.digest({split: utterances[split] for split in SPLITS}),
    }
    if intents:
        common["intents"] = True
    # the three go together, and are the same whether the large one is there or not
    wanted = dict.fromkeys(SPLITS, common)
    if LARGE in names:
        wanted[LARGE] = {**common, "plan": splits.digest({LARGE: utterances[LARGE]})}

    def text(utt: Utterance) -> str:
        return f"{grammar.intent(utt.text)} {utt.text}" if intents else utt.text

    def speak(synthesiser: Synthesiser, utt: Utterance) -> np.ndarray:
        return render(synthesiser, utt, args.seed, args.snr)

    corpus = splits.Corpus(
        "mini_speech", args.data_dir, utterances, wanted, speak, text
    )
    splits.make(corpus)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        run_main(main)
