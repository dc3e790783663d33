# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Stages 1-5 of ESPnet's asr.sh for corpora that are used without a checkout."""

import dataclasses
import logging
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Optional

from espnet_prune.data.audio import check_audio, copy_piece, remove_others
from espnet_prune.data.corpus import FILES, pieces, read_corpus_set, read_dir, write_dir
from espnet_prune.data.tables import Table
from espnet_prune.data.tokens import write_tokens
from espnet_prune.utils import UserError


def speeds(factors: str) -> Dict[str, Fraction]:
    """Parse the speed factors, by what is written.

    Raises:
        UserError: One is no speed, or is there twice.
    """
    found: Dict[str, Fraction] = {}
    for factor in factors.split():
        try:
            ratio = Fraction(factor).limit_denominator(100)
        except (ValueError, ZeroDivisionError):
            ratio = Fraction(0)
        if ratio <= 0:
            raise UserError(f"--speed_perturb_factors: '{factor}' is no speed")
        if ratio in found.values():
            raise UserError(f"--speed_perturb_factors: '{factor}' is there twice")
        found[factor] = ratio
    return found


def write_dump(folder: Path, tables: Dict[str, Table]) -> None:
    """Write a formatted set."""
    write_dir(folder, tables)
    (folder / "feats_type").write_text("raw\n", encoding="utf-8")


@dataclasses.dataclass
class Preparation:
    """Stages 1-5 for the sets of one corpus.

    The attributes are the options of `data_prep`, named as in asr.sh; see its --help.
    """

    data_dir: Optional[Path] = None
    train_set: str = "train"
    valid_set: str = "dev"
    test_sets: str = "test"
    speed_perturb_factors: str = ""
    token_type: str = "bpe"
    nbpe: int = 30
    nlsyms_txt: Optional[str] = None
    fs: int = 16000
    min_wav_duration: float = 0.1
    max_wav_duration: float = 20.0
    data: Path = Path("data")
    dumpdir: Path = Path("dump")

    @property
    def tests(self) -> List[str]:
        """Names of the sets that are decoded."""
        return self.test_sets.split()

    @property
    def train_name(self) -> str:
        """Name of the training set after speed perturbation."""
        speeds = self.speed_perturb_factors.split()
        return self.train_set + ("_sp" if speeds else "")

    @property
    def all_sets(self) -> List[str]:
        """Names of the sets in the corpus, each once."""
        sets = [self.train_set, self.valid_set, *self.tests]
        return list(dict.fromkeys(sets))

    def training_dir(self, name: str) -> Path:
        """Where training's copy of a set lies: apart from the set that is decoded."""
        raw = self.dumpdir / "raw"
        return raw / "filtered" / name if name in self.tests else raw / name

    def run(self, first: int, last: int) -> None:
        """Run some of the stages."""
        stages = (self.stage1, self.stage2, self.stage3, self.stage4, self.stage5)
        for number, stage in enumerate(stages, 1):
            if first <= number <= last:
                stage()

    def stage1(self) -> None:
        """Copy the corpus to data/; everything is checked before a file is written."""
        if self.data_dir is None:
            raise UserError("stage 1 needs --data_dir, the folder of the corpus")
        corpus = self.data_dir.resolve()
        checked = {
            n: read_corpus_set(corpus, n, empty=n in self.tests) for n in self.all_sets
        }
        for name, tables in checked.items():
            write_dir(self.data / name, tables)

    def stage2(self) -> None:
        """Speed perturbation by resampling, as sox's ``speed``: pitch changes too."""
        factors = speeds(self.speed_perturb_factors)
        if not factors:
            logging.info("stage 2: no speed factors, nothing to do")
            return
        folder = self.data / self.train_set
        source = read_dir(folder)
        parts = pieces(source, folder)
        copies = (self.dumpdir / "audio_sp" / self.train_set).resolve()
        result: Dict[str, Table] = {name: {} for name in FILES}
        for factor, ratio in factors.items():
            prefix = "" if ratio == 1 else f"sp{factor}-"
            for utt, piece in parts.items():
                name = prefix + utt
                if name in parts and prefix or name in result["wav.scp"]:
                    raise UserError(
                        f"{folder}/text: '{name}' would also be the name of the copy "
                        f"of '{utt}' at speed {factor}; rename one"
                    )
                what = f"{folder}: utterance '{utt}'"
                path = piece.path
                if ratio != 1 or not piece.whole:
                    path = copy_piece(utt, piece, copies / factor, what, ratio)
                result["wav.scp"][name] = path
                result["text"][name] = source["text"][utt]
                result["utt2spk"][name] = prefix + source["utt2spk"][utt]
            logging.info("stage 2: speed %s done", factor)
        write_dir(self.data / self.train_name, result)
        remove_others(copies, set(result["wav.scp"].values()))

    def format_set(self, name: str) -> Dict[str, Table]:
        """Read all audio of a set, cut what has segments; return the dump's tables.

        Raises:
            UserError: An utterance cannot be read, has another sampling rate or several
                channels, or (where it is decoded) no sample.
        """
        folder = self.data / name
        tables = read_dir(folder)
        copies = (self.dumpdir / "audio_cut" / name).resolve()
        samples: Table = {}
        wav: Table = {}
        cut = "segments" in tables
        for utt, piece in pieces(tables, folder).items():
            what = f"{folder}/wav.scp: utterance '{utt}'"
            path = copy_piece(utt, piece, copies, what) if cut else piece.path
            size, rate, channels = check_audio(path, what)
            if rate != self.fs or channels != 1:
                other = f", or give --fs {rate}" if channels == 1 else ""
                raise UserError(
                    f"{what} has {rate} Hz and {channels} channel(s), not {self.fs} Hz "
                    f"mono; convert it{other}"
                )
            if not size and name in self.tests:
                raise UserError(
                    f"{what} has no sample and cannot be decoded; remove it"
                )
            wav[utt], samples[utt] = path, str(size)
        if cut:
            remove_others(copies, set(wav.values()))
        tables.pop("segments", None)
        return {**tables, "wav.scp": wav, "utt2num_samples": samples}

    def stage3(self) -> None:
        """Format: dump/raw with the number of samples, one sampling rate for all."""
        trained = (self.train_name, self.valid_set)
        for name in dict.fromkeys([*trained, *self.tests]):
            tables = self.format_set(name)
            raw = self.dumpdir / "raw"
            folders = [raw / "org" / name] if name in trained else []
            folders += [raw / name] if name in self.tests else []
            for folder in folders:
                write_dump(folder, tables)

    def stage4(self) -> None:
        """Drop what is too short, too long or empty from training's copies."""
        for name in (self.train_name, self.valid_set):
            org = self.dumpdir / "raw" / "org" / name
            tables = read_dir(org, FILES + ("utt2num_samples",))
            kept = {
                utt
                for utt, n in tables["utt2num_samples"].items()
                if self.min_wav_duration < int(n) / self.fs < self.max_wav_duration
                and tables["text"].get(utt)
            }
            if not kept:
                raise UserError(f"{org}: no utterance is left to use")
            dropped = len(tables["wav.scp"]) - len(kept)
            if dropped:
                logging.warning(
                    "%s: %d utterances dropped from training", name, dropped
                )
            for file, table in tables.items():
                tables[file] = {u: v for u, v in table.items() if u in kept}
            write_dump(self.training_dir(name), tables)

    def stage5(self) -> None:
        """Write the token list of the training texts; see `write_tokens`."""
        kind, text = self.token_type, self.training_dir(self.train_name) / "text"
        name = f"bpe_unigram{self.nbpe}" if kind == "bpe" else kind
        folder = self.data / "token_list" / name  # named as asr.sh does
        write_tokens(folder, text, kind, self.nbpe, self.nlsyms_txt)
