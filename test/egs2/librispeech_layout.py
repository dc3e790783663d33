#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Lay speech out on disk as LibriSpeech does, to run the real recipes on little.

    python test/egs2/librispeech_layout.py --corpus AN4 --output_dir OUT
    cd egs2/librispeech_100/asr_prune1 && ./run.sh --downloads OUT ...

writes OUT/LibriSpeech/PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac, a
SPEAKER-CHAPTER.trans.txt beside them, and the tables SPEAKERS.TXT and CHAPTERS.TXT.
The input has Kaldi-style directories train, dev and test; without --corpus the
synthetic speech of mini_speech is made. The speakers of train are dealt to
--train_parts, those of dev to dev-clean and dev-other, those of test likewise.
Utterances that have LibriSpeech's names keep them; others get numbers. Audio that is
not 16 kHz FLAC is refused: nothing is resampled.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import soundfile

from espnet_prune.data.corpus import read_corpus_set
from espnet_prune.data.tables import read_table
from espnet_prune.utils import UserError, run_main

ROOT = Path(__file__).resolve().parents[2]
MINI_SPEECH = ROOT / "egs2/mini_speech/asr_prune1/local/data.py"
REAL_NAME = re.compile(r"(\d+)-(\d+)-(\d{4})")
CHAPTER = 20  # utterances of a speaker that make one


class Utterance(NamedTuple):
    """One utterance under its name in LibriSpeech.

    Attributes:
        speaker: Number of the speaker.
        chapter: Number of the chapter, unlike those of other speakers.
        number: Number within the chapter.
        source: The audio file.
        text: The transcript.
        sex: F or M.
    """

    speaker: int
    chapter: int
    number: int
    source: Path
    text: str
    sex: str


def read_set(corpus: Path, name: str, limit: int) -> Dict[str, List[str]]:
    """Return the first `limit` utterances of a set, by speaker and evenly over them."""
    by_speaker: Dict[str, List[str]] = {}
    for utt, speaker in sorted(read_corpus_set(corpus, name)["utt2spk"].items()):
        by_speaker.setdefault(speaker, []).append(utt)
    share = max(1, -(-limit // len(by_speaker)))
    taken: Dict[str, List[str]] = {}
    for speaker, utts in by_speaker.items():
        left = limit - sum(map(len, taken.values()))
        if left > 0:
            taken[speaker] = utts[: min(share, left)]
    return taken


def rename(
    corpus: Path, name: str, utts: Dict[str, List[str]], first: int
) -> List[List[Utterance]]:
    """Give the utterances of every speaker their names; `first` is a free number."""
    tables = read_corpus_set(corpus, name)
    sexes = {}
    if (corpus / name / "spk2gender").is_file():
        sexes = read_table(corpus / name / "spk2gender")
    result = []
    for number, (speaker, members) in enumerate(sorted(utts.items()), first):
        sex = sexes.get(speaker, speaker)[:1].upper()
        lines = []
        for i, utt in enumerate(members):
            match = REAL_NAME.fullmatch(utt)
            place = (number, 10 * number + i // CHAPTER, i % CHAPTER)
            if match:
                place = (int(match[1]), int(match[2]), int(match[3]))
            source, text = Path(tables["wav.scp"][utt]), tables["text"][utt].upper()
            lines.append(Utterance(*place, source, text, sex if sex in "FM" else "M"))
        result.append(lines)
    return result


def write_part(folder: Path, speakers: Sequence[Sequence[Utterance]]) -> None:
    """Write the audio and the transcripts of one part."""
    for utt in (utt for lines in speakers for utt in lines):
        chapter = folder / str(utt.speaker) / str(utt.chapter)
        chapter.mkdir(parents=True, exist_ok=True)
        stem = f"{utt.speaker}-{utt.chapter}"
        shutil.copyfile(utt.source, chapter / f"{stem}-{utt.number:04d}.flac")
        with open(chapter / f"{stem}.trans.txt", "a", encoding="utf-8") as stream:
            stream.write(f"{stem}-{utt.number:04d} {utt.text}\n")


def tables(parts: Dict[str, List[List[Utterance]]]) -> Dict[str, str]:
    """Return the text of SPEAKERS.TXT and CHAPTERS.TXT.

    Raises:
        UserError: Audio that LibriSpeech could not have.
    """
    speakers = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    chapters = [
        ";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| TITLE | TITLE"
    ]
    for part, people in parts.items():
        for lines in people:
            minutes: Dict[int, float] = {}
            for utt in lines:
                info = soundfile.info(str(utt.source))
                if (info.format, info.samplerate, info.channels) != ("FLAC", 16000, 1):
                    raise UserError(f"{utt.source} is not 16 kHz mono FLAC; convert it")
                length = minutes.get(utt.chapter, 0.0)
                minutes[utt.chapter] = length + info.duration / 60
            who, sex = lines[0].speaker, lines[0].sex
            total = sum(minutes.values())
            speakers.append(f"{who:<4} | {sex} | {part:<16} | {total:5.2f} | Nobody")
            for chapter, length in minutes.items():
                row = f"{chapter:<6} | {who:<4} | {length:5.2f} | {part:<16} | 0 | 0"
                chapters.append(f"{row} | None | None")
    found = {"SPEAKERS.TXT": speakers, "CHAPTERS.TXT": chapters}
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}


def lay_out(corpus: Path, output_dir: Path, args: argparse.Namespace) -> None:
    """Write OUTPUT_DIR/LibriSpeech; LICENSE.TXT comes last and says that it is whole.

    Raises:
        UserError: The folder exists, or a set has too few speakers for its parts.
    """
    target = output_dir / "LibriSpeech"
    if target.exists():
        raise UserError(f"{target} exists; remove it or give another --output_dir")
    parts: Dict[str, List[List[Utterance]]] = {}
    wanted = {"train": args.train_parts.split()}
    for name in ("dev", "test"):
        wanted[name] = [f"{name}-clean", f"{name}-other"]
    first = 101
    for name, names in wanted.items():
        limit = args.train_utts if name == "train" else args.eval_utts
        people = rename(corpus, name, read_set(corpus, name, limit), first)
        first += len(people)
        if len(people) < len(names):
            raise UserError(
                f"{corpus / name}/utt2spk: {len(people)} speakers are too few for "
                f"{', '.join(names)}; give more utterances (--{name}_utts)"
            )
        for i, part in enumerate(names):
            parts[part] = people[i :: len(names)]
    texts = tables(parts)
    for part, people in parts.items():
        write_part(target / part, people)
        print(f"{target / part}: {sum(map(len, people))} utterances")
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
    (target / "LICENSE.TXT").write_text(f"The audio is that of {corpus}.\n")


def get_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="folder with train, dev and test")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--train_parts", default="train-clean-100", help="quoted list")
    parser.add_argument("--train_utts", type=int, default=10**9, help="at most")
    parser.add_argument(
        "--eval_utts", type=int, default=10**9, help="dev, test: at most"
    )
    return parser


def main(cmd: Optional[List[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    corpus = args.corpus
    if corpus is None:
        corpus = args.output_dir / "mini_speech"
        command = [sys.executable, str(MINI_SPEECH), "--data_dir", str(corpus)]
        if subprocess.call(command):
            raise UserError("mini_speech was not made; its message stands above")
    lay_out(corpus, args.output_dir, args)


if __name__ == "__main__":
    run_main(main)
