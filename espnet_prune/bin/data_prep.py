# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)
"""Stages 1-5 of ESPnet's asr.sh for corpora that are used without a checkout.

Called in a recipe directory, once per stage or for a range of them::

    python -m espnet_prune.bin.data_prep --stage 1 --stop_stage 5 --data_dir CORPUS \
        --train_set train --valid_set dev --test_sets "dev test" \
        --speed_perturb_factors "0.9 1.0 1.1" --token_type bpe --nbpe 30

| stage | reads | writes |
|---|---|---|
| 1 | CORPUS/SET/{wav.scp,text,utt2spk,segments} | the same in data/SET, and spk2utt |
| 2 | data/TRAIN | data/TRAIN_sp and its audio in dump/audio_sp |
| 3 | data/SET | dump/raw/org/{TRAIN,VALID}, dump/raw/TEST |
| 4 | dump/raw/org/SET | dump/raw/SET without too short, too long or empty |
| 5 | the TRAIN of stage 4 | data/token_list/{char,word,bpe_unigramN}/tokens.txt |

TRAIN is the train set with ``_sp`` appended where speed factors are given, as
in asr.sh: train with ``dump/raw/TRAIN_sp`` and ``exp/asr_stats_raw_..._sp``.
A set that is decoded, too, keeps all its utterances in ``dump/raw/SET``; what training
uses of it is in ``dump/raw/filtered/SET``. Relative paths in wav.scp are relative to
CORPUS; ``data/`` and ``dump/`` hold absolute ones. Not supported: pipes and arks in
wav.scp, several references.
"""

import argparse
import collections
import logging
import re
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from espnet_prune.data.audio import (
    check_audio,
    copy_piece,
    remove_others,
)
from espnet_prune.data.corpus import (
    FILES,
    pieces,
    read_corpus_set,
    read_dir,
    write_dir,
)
from espnet_prune.data.tables import Table, read_table
from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, atomic_write, run_main, setup_logging


def stage1(args: argparse.Namespace) -> None:
    """Copy the corpus to data/; everything is checked before a file is written."""
    if args.data_dir is None:
        raise UserError("stage 1 needs --data_dir, the folder of the corpus")
    corpus = Path(args.data_dir).resolve()
    tests = args.test_sets.split()
    checked = {n: read_corpus_set(corpus, n, empty=n in tests) for n in all_sets(args)}
    for name, tables in checked.items():
        write_dir(Path(args.data) / name, tables)


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


def stage2(args: argparse.Namespace) -> None:
    """Speed perturbation by resampling, as sox's ``speed``: pitch changes too."""
    factors = speeds(args.speed_perturb_factors)
    if not factors:
        logging.info("stage 2: no speed factors, nothing to do")
        return
    folder = Path(args.data) / args.train_set
    source = read_dir(folder)
    parts = pieces(source, folder)
    copies = (Path(args.dumpdir) / "audio_sp" / args.train_set).resolve()
    result: Dict[str, Table] = {name: {} for name in FILES}
    for factor, ratio in factors.items():
        prefix = "" if ratio == 1 else f"sp{factor}-"
        for utt, piece in parts.items():
            name = prefix + utt
            if name in parts and prefix or name in result["wav.scp"]:
                raise UserError(
                    f"{folder}/text: '{name}' would also be the name of the copy of "
                    f"'{utt}' at speed {factor}; rename one"
                )
            what = f"{folder}: utterance '{utt}'"
            path = piece.path
            if ratio != 1 or not piece.whole:
                path = copy_piece(utt, piece, copies / factor, what, ratio)
            result["wav.scp"][name] = path
            result["text"][name] = source["text"][utt]
            result["utt2spk"][name] = prefix + source["utt2spk"][utt]
        logging.info("stage 2: speed %s done", factor)
    write_dir(Path(args.data) / train_name(args), result)
    remove_others(copies, set(result["wav.scp"].values()))


def format_set(args: argparse.Namespace, name: str) -> Dict[str, Table]:
    """Read all audio of a set, cut what has segments; returns the tables of the dump.

    Raises:
        UserError: An utterance cannot be read, has another sampling rate or several
            channels, or (where it is decoded) no sample.
    """
    folder = Path(args.data) / name
    tables = read_dir(folder)
    copies = (Path(args.dumpdir) / "audio_cut" / name).resolve()
    samples: Table = {}
    wav: Table = {}
    cut = "segments" in tables
    for utt, piece in pieces(tables, folder).items():
        what = f"{folder}/wav.scp: utterance '{utt}'"
        path = copy_piece(utt, piece, copies, what) if cut else piece.path
        size, rate, channels = check_audio(path, what)
        if rate != args.fs or channels != 1:
            other = f", or give --fs {rate}" if channels == 1 else ""
            raise UserError(
                f"{what} has {rate} Hz and {channels} channel(s), not {args.fs} Hz "
                f"mono; convert it{other}"
            )
        if not size and name in args.test_sets.split():
            raise UserError(f"{what} has no sample and cannot be decoded; remove it")
        wav[utt], samples[utt] = path, str(size)
    if cut:
        remove_others(copies, set(wav.values()))
    tables.pop("segments", None)
    return {**tables, "wav.scp": wav, "utt2num_samples": samples}


def stage3(args: argparse.Namespace) -> None:
    """Format: dump/raw with the number of samples, one sampling rate for all."""
    trained = (train_name(args), args.valid_set)
    tests = args.test_sets.split()
    for name in dict.fromkeys([*trained, *tests]):
        tables = format_set(args, name)
        raw = Path(args.dumpdir) / "raw"
        folders = [raw / "org" / name] if name in trained else []
        folders += [raw / name] if name in tests else []
        for folder in folders:
            write_dir(folder, tables)
            (folder / "feats_type").write_text("raw\n", encoding="utf-8")


def training_dir(args: argparse.Namespace, name: str) -> Path:
    """Where training's copy of a set lies: apart from the set that is decoded."""
    raw = Path(args.dumpdir) / "raw"
    return raw / "filtered" / name if name in args.test_sets.split() else raw / name


def stage4(args: argparse.Namespace) -> None:
    """Drop what is too short, too long or empty from training's copies."""
    for name in (train_name(args), args.valid_set):
        org = Path(args.dumpdir) / "raw" / "org" / name
        tables = read_dir(org, FILES + ("utt2num_samples",))
        kept = {
            utt
            for utt, n in tables["utt2num_samples"].items()
            if args.min_wav_duration < int(n) / args.fs < args.max_wav_duration
            and tables["text"].get(utt)
        }
        if not kept:
            raise UserError(f"{org}: no utterance is left to use")
        folder = training_dir(args, name)
        dropped = len(tables["wav.scp"]) - len(kept)
        if dropped:
            logging.warning("%s: %d utterances dropped from training", name, dropped)
        write_dir(
            folder,
            {n: {u: v for u, v in t.items() if u in kept} for n, t in tables.items()},
        )
        (folder / "feats_type").write_text("raw\n", encoding="utf-8")


def stage5(args: argparse.Namespace) -> None:
    """Token list: characters or words by frequency, or sentencepiece's pieces.

    The symbols of --nlsyms_txt, such as intents, are one token each.
    """
    folder = token_dir(args)
    folder.mkdir(parents=True, exist_ok=True)
    train = training_dir(args, train_name(args))
    texts = [text for _, text in sorted(read_table(train / "text").items())]
    symbols = read_symbols(args.nlsyms_txt, args.token_type) if args.nlsyms_txt else []
    if args.token_type == "bpe":
        tokens = train_bpe(folder, texts, args.nbpe, symbols)
    else:
        token = r"\S+"
        if args.token_type == "char":
            token = "|".join([*map(re.escape, symbols), "."])
        count = collections.Counter(
            t for text in texts for t in re.findall(token, " ".join(text.split()))
        )
        order = sorted(count, key=lambda t: (-count[t], t))
        tokens = ["<space>" if t == " " else t for t in order]
    with atomic_write(str(folder / "tokens.txt")) as f:
        f.writelines(f"{t}\n" for t in ["<blank>", "<unk>", *tokens, "<sos/eos>"])
    logging.info("%s: %d tokens", folder / "tokens.txt", len(tokens) + 3)


def train_bpe(
    folder: Path, texts: Sequence[str], nbpe: int, symbols: Sequence[str]
) -> List[str]:
    """Train sentencepiece into ``folder``; returns its pieces, ``symbols`` among them.

    Raises:
        UserError: if the text has too few or too many pieces for ``nbpe``.
    """
    import sentencepiece

    with atomic_write(str(folder / "train.txt")) as f:
        f.writelines(f"{text}\n" for text in texts)
    try:
        sentencepiece.SentencePieceTrainer.Train(
            input=str(folder / "train.txt"),
            vocab_size=nbpe,
            model_type="unigram",
            model_prefix=str(folder / "part"),
            character_coverage=1.0,
            user_defined_symbols=list(symbols),
            input_sentence_size=100000000,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as e:
        raise UserError(f"--nbpe {nbpe} does not suit this text: {e}") from e
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "part.model"))
    for suffix in ("vocab", "model"):
        (folder / f"part.{suffix}").replace(folder / f"bpe.{suffix}")
    skip = {"<unk>", "<s>", "</s>"}
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    return [p for p in pieces if p not in skip]


def train_name(args: argparse.Namespace) -> str:
    """Name of the training set after speed perturbation."""
    return args.train_set + ("_sp" if args.speed_perturb_factors.split() else "")


def all_sets(args: argparse.Namespace) -> List[str]:
    """Names of the sets in the corpus, each once."""
    sets = [args.train_set, args.valid_set] + args.test_sets.split()
    return list(dict.fromkeys(sets))


def token_dir(args: argparse.Namespace) -> Path:
    """Folder of the token list, named as asr.sh does."""
    kind = f"bpe_unigram{args.nbpe}" if args.token_type == "bpe" else args.token_type
    return Path(args.data) / "token_list" / kind


def get_parser() -> argparse.ArgumentParser:
    """Options; the names are those of asr.sh."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", type=int, default=1, help="first stage, 1-5")
    parser.add_argument("--stop_stage", type=int, help="last stage (the first)")
    parser.add_argument("--data_dir", help="folder with train/, dev/, test/ (stage 1)")
    parser.add_argument("--train_set", default="train")
    parser.add_argument("--valid_set", default="dev")
    parser.add_argument("--test_sets", default="test", help="quoted list")
    parser.add_argument("--speed_perturb_factors", default="", help="'0.9 1.0 1.1'")
    parser.add_argument("--token_type", choices=["char", "bpe", "word"], default="bpe")
    parser.add_argument("--nbpe", type=int, default=30)
    parser.add_argument("--nlsyms_txt", help="words that stay one token, one a line")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz")
    parser.add_argument("--min_wav_duration", type=float, default=0.1, help="seconds")
    parser.add_argument("--max_wav_duration", type=float, default=20.0, help="seconds")
    parser.add_argument("--data", default="data", help="where to write data")
    parser.add_argument("--dumpdir", default="dump", help="where to write dump")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the stages asked for."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    stages = (stage1, stage2, stage3, stage4, stage5)
    last = args.stage if args.stop_stage is None else args.stop_stage
    for number, stage in enumerate(stages, 1):
        if args.stage <= number <= last:
            stage(args)


if __name__ == "__main__":
    run_main(main)
