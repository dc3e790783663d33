#!/usr/bin/env python3
# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make the large_speech corpus: stage 1 of the recipe.

Writes Kaldi-style directories `DATA_DIR/{train,dev,test}` as mini_speech does, with its
synthesiser: the same seed gives the same bytes, a finished split is skipped, and one
that was interrupted goes on. Sentences are of an open vocabulary; half of them are said
in a room; noise is hiss, pink noise, or other people of the same split who talk. With
--real_dir all utterances of another corpus are a further set, `real`, to be decoded.
"""

import argparse
import contextlib
from pathlib import Path
from typing import Any, Dict, List, Set

import numpy as np
import rooms
import splits
from people import people
from sentences import Grammar
from splits import SAMPLE_RATE, Plan, Utterance, rng_of
from synth import Synthesiser

from espnet_prune.data.corpus import read_corpus_set, write_dir
from espnet_prune.utils import UserError, run_main, setup_logging

SPLITS = {"test": 50, "dev": 30, "train": 50}  # sentences of each speaker
TRACKS = 6  # of babble
VERSION = 1  # raise it when the audio of a seed changes


def styled(seed: int, name: str, who: Any, text: str) -> Utterance:
    """An utterance in a style of its own."""
    rng = rng_of(seed, name, "style")
    rate = int(np.clip(who.rate + rng.integers(-20, 21), 120, 230))
    pitch = int(np.clip(who.pitch + rng.integers(-10, 11), 0, 99))
    return Utterance(name, who, text, rate, pitch)


def plan(seed: int, per_speaker: Dict[str, int]) -> Plan:
    """Choose sentences and speaking styles; no sentence occurs twice in the corpus.

    Args:
        seed: Seed of the corpus.
        per_speaker: Sentences of each speaker by split; the splits choose in turn.
    """
    grammar = Grammar(seed)
    taken: Set[str] = set()
    result: Plan = {}
    for split, count in per_speaker.items():
        result[split] = []
        for who in people(split):
            rng = rng_of(seed, split, who.name, "text")
            for i, text in enumerate(grammar.sentences(rng, count, taken)):
                name = f"{who.name}-{i:03d}"
                result[split].append(styled(seed, name, who, text))
    return result


class Renderer:
    """Makes the audio of utterances.

    Args:
        seed: Seed of the corpus.
        snr: Lowest and highest signal-to-noise ratio in dB.
        splits_of: The split of every speaker.
    """

    def __init__(self, seed: int, snr: List[float], splits_of: Dict[str, str]) -> None:
        self.seed, self.snr, self.splits_of = seed, snr, splits_of
        self.babble: Dict[str, List[np.ndarray]] = {}

    def tracks(self, synthesiser: Synthesiser, split: str) -> List[np.ndarray]:
        """Babble of a split: its speakers say what is in no set, all at once."""
        if split not in self.babble:
            grammar, voices = Grammar(self.seed), people(split)
            length = int(rooms.BABBLE * SAMPLE_RATE)
            tracks = np.zeros((TRACKS, length))
            for n in range(TRACKS):
                rng = rng_of(self.seed, split, "babble", n)
                for i in rng.permutation(len(voices))[: rooms.TALKERS]:
                    said = [np.zeros(0)]
                    while sum(map(len, said)) < length:
                        (text,) = grammar.sentences(rng, 1, set())
                        name = f"babble-{n}-{i}-{len(said)}"
                        utt = styled(self.seed, name, voices[i], text)
                        said.append(splits.spoken(synthesiser, utt, voices[i].stretch))
                    tracks[n] += np.concatenate(said)[:length]
            self.babble[split] = list(tracks)
        return self.babble[split]

    def __call__(self, synthesiser: Synthesiser, utt: Utterance) -> np.ndarray:
        """Return int16 samples (num_samples,) at 16 kHz."""
        who = utt.speaker
        tracks = self.tracks(synthesiser, self.splits_of[who.name])
        speech = splits.spoken(synthesiser, utt, who.stretch)
        rng = rng_of(self.seed, utt.name, "noise")
        before, after = rng.uniform(0.05, 0.25, size=2)
        signal = np.pad(speech, (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)))
        if rng.random() < rooms.ROOMS:
            signal = rooms.room(signal, rng)
        strength = rooms.level(speech) * 10 ** (-rng.uniform(*self.snr) / 20)
        signal = signal + strength * rooms.noise(len(signal), tracks, rng)
        return splits.pcm(signal * 10 ** (rng.uniform(-8.0, 2.0) / 20))


def write_real(corpus: Path, target: Path) -> None:
    """Make one set of all those of a Kaldi-style corpus; the audio stays where it is.

    Raises:
        UserError: There is none, or see `read_corpus_set`.
    """
    tables: Dict[str, Dict[str, str]] = {}
    for path in sorted(corpus.glob("*/wav.scp")):
        for name, table in read_corpus_set(corpus, path.parent.name).items():
            tables.setdefault(name, {}).update(table)
    if not tables:
        raise UserError(f"--real_dir {corpus}: no SET/wav.scp is there")
    target.mkdir(parents=True, exist_ok=True)
    write_dir(target, tables)


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description="Make the large_speech corpus with espeak-ng",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data_dir", type=Path, default=Path("corpus"), help="where to write")
    add("--seed", type=int, default=0, help="seed of the corpus")
    add("--test_sets", help="not needed: the test set is always made")
    add("--real_dir", type=Path, help="a Kaldi-style corpus, for the set `real`")
    for split, default in SPLITS.items():
        text = f"sentences of each of the {len(people(split))} {split} speakers"
        add(f"--{split}_utts", type=int, default=default, help=text)
    splits.add_snr(parser, 5.0, 30.0)
    return parser


def main() -> None:
    """Command line entry."""
    args = get_parser().parse_args()
    setup_logging()
    per_speaker = {split: getattr(args, f"{split}_utts") for split in SPLITS}
    splits.check_counts(per_speaker)
    splits.check_snr(args.snr)
    if args.real_dir:
        write_real(args.real_dir, args.data_dir / "real")
    utterances = plan(args.seed, per_speaker)
    wanted = {
        split: {
            "version": VERSION,
            "seed": args.seed,
            "snr": args.snr,
            "plan": splits.digest({split: utterances[split]}),
        }
        for split in SPLITS
    }
    splits_of = {who.name: split for split in SPLITS for who in people(split)}
    render = Renderer(args.seed, args.snr, splits_of)
    splits.make(
        splits.Corpus(
            *("large_speech", args.data_dir, utterances, wanted),
            *(render, lambda utt: utt.text),
        )
    )


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        run_main(main)
