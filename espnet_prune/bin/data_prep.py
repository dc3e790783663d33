# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)
"""Stages 1-5 of ESPnet's asr.sh for corpora that are used without a checkout.

Called in a recipe directory, once per stage or for a range of them::

    python -m espnet_prune.bin.data_prep --stage 1 --stop_stage 5 --data_dir CORPUS \
        --train_set train --valid_set dev --test_sets "dev test" \
        --speed_perturb_factors "0.9 1.0 1.1" --token_type bpe --nbpe 30

| stage | reads | writes |
|---|---|---|
| 1 | CORPUS/SET/{wav.scp,text,utt2spk} | data/SET/{wav.scp,text,utt2spk,spk2utt} |
| 2 | data/TRAIN | data/TRAIN_sp and its audio in dump/audio_sp |
| 3 | data/SET | dump/raw/org/{TRAIN,VALID}, dump/raw/TEST |
| 4 | dump/raw/org/SET | dump/raw/SET without too short, too long or empty |
| 5 | dump/raw/TRAIN/text | data/token_list/{char,word,bpe_unigramN}/tokens.txt |

TRAIN is the train set with ``_sp`` appended where speed factors are given, as
in asr.sh: train with ``dump/raw/TRAIN_sp`` and ``exp/asr_stats_raw_..._sp``.
Relative paths in wav.scp are relative to CORPUS; ``data/`` and ``dump/`` hold
absolute ones. Not supported: pipes in wav.scp, segments, several references.
"""

import argparse
import collections
import logging
import re
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import soundfile

from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, atomic_write, run_main, setup_logging

Table = Dict[str, str]
FILES = ("wav.scp", "text", "utt2spk")


def read_table(path: Path) -> Table:
    """Read a Kaldi table: one ``key value`` per line; the value may be empty.

    Raises:
        UserError: if the file is missing, has no line, or has a key twice.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    table: Table = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.strip().partition(" ")
        if key in table:
            raise UserError(f"{path}: the utterance '{key}' is there twice")
        if key:
            table[key] = value.strip()
    if not table:
        raise UserError(f"{path}: no utterance in it")
    return table


def write_table(path: Path, table: Table) -> None:
    """Write a Kaldi table, sorted by key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(str(path)) as f:
        f.writelines(f"{key} {table[key]}\n" for key in sorted(table))


def write_dir(folder: Path, tables: Dict[str, Table]) -> None:
    """Write a data directory; spk2utt is made from utt2spk."""
    spk2utt: Dict[str, List[str]] = collections.defaultdict(list)
    for utt, spk in sorted(tables["utt2spk"].items()):
        spk2utt[spk].append(utt)
    for name, table in tables.items():
        write_table(folder / name, table)
    write_table(folder / "spk2utt", {s: " ".join(u) for s, u in spk2utt.items()})
    logging.info("%s: %d utterances", folder, len(tables["wav.scp"]))


def read_dir(folder: Path, names: Sequence[str] = FILES) -> Dict[str, Table]:
    """Read the tables of a data directory."""
    return {name: read_table(folder / name) for name in names}


def read_corpus_set(corpus: Path, name: str) -> Dict[str, Table]:
    """Read and check one set of the user's corpus; paths become absolute.

    Args:
        corpus: Folder that holds the sets.
        name: Name of the set.

    Returns:
        The tables of the set by file name.

    Raises:
        UserError: if a table is missing, an utterance lacks a line in one of
            them, an audio file does not exist, or a transcript is empty.
    """
    folder = corpus / name
    if not folder.is_dir():
        raise UserError(f"{folder}: no such data directory (--data_dir {corpus})")
    tables = {n: read_table(folder / n) for n in ("wav.scp", "text")}
    if (folder / "utt2spk").is_file():
        tables["utt2spk"] = read_table(folder / "utt2spk")
    else:
        tables["utt2spk"] = {utt: utt for utt in tables["wav.scp"]}
    for utt, location in tables["wav.scp"].items():
        for other in ("text", "utt2spk"):
            if utt not in tables[other]:
                raise UserError(f"{folder / other}: no line for utterance '{utt}'")
        if location.endswith("|"):
            raise UserError(
                f"{folder}/wav.scp: utterance '{utt}' is a pipe; write audio files"
            )
        path = (corpus / location).resolve()
        if not path.is_file():
            raise UserError(
                f"{folder}/wav.scp: the file of utterance '{utt}' is missing: {path}"
            )
        if not tables["text"][utt]:
            raise UserError(f"{folder}/text: utterance '{utt}' has an empty text")
        tables["wav.scp"][utt] = str(path)
    for other in ("text", "utt2spk"):
        extra = set(tables[other]) - set(tables["wav.scp"])
        if extra:
            raise UserError(
                f"{folder}/wav.scp: no line for utterance '{sorted(extra)[0]}'"
            )
    return tables


def stage1(args: argparse.Namespace) -> None:
    """Copy the corpus to data/; everything is checked before a file is written."""
    if args.data_dir is None:
        raise UserError("stage 1 needs --data_dir, the folder of the corpus")
    corpus = Path(args.data_dir).resolve()
    checked = {name: read_corpus_set(corpus, name) for name in all_sets(args)}
    for name, tables in checked.items():
        write_dir(Path(args.data) / name, tables)


def stage2(args: argparse.Namespace) -> None:
    """Speed perturbation by resampling, as sox's ``speed``: pitch changes too."""
    factors = args.speed_perturb_factors.split()
    if not factors:
        logging.info("stage 2: no speed factors, nothing to do")
        return
    from scipy.signal import resample_poly

    source = read_dir(Path(args.data) / args.train_set)
    result: Dict[str, Table] = {name: {} for name in FILES}
    for factor in factors:
        try:
            ratio = Fraction(factor).limit_denominator(100)
        except ValueError:
            ratio = Fraction(0)
        if ratio <= 0:
            raise UserError(f"--speed_perturb_factors: '{factor}' is no speed")
        prefix = "" if ratio == 1 else f"sp{factor}-"
        folder = (Path(args.dumpdir) / "audio_sp" / factor).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for utt, path in source["wav.scp"].items():
            if ratio != 1:
                target = folder / f"{utt}.flac"
                if not target.is_file():
                    audio, rate = soundfile.read(path, dtype="float64")
                    audio = resample_poly(audio, ratio.denominator, ratio.numerator)
                    part = folder / f"{utt}.part.flac"
                    soundfile.write(str(part), audio.clip(-1.0, 1.0), rate)
                    part.replace(target)
                path = str(target)
            result["wav.scp"][prefix + utt] = path
            result["text"][prefix + utt] = source["text"][utt]
            result["utt2spk"][prefix + utt] = prefix + source["utt2spk"][utt]
        logging.info("stage 2: speed %s done", factor)
    write_dir(Path(args.data) / train_name(args), result)


def stage3(args: argparse.Namespace) -> None:
    """Format: dump/raw with the number of samples, one sampling rate for all."""
    train, valid = train_name(args), args.valid_set
    for name in dict.fromkeys([train, valid] + args.test_sets.split()):
        tables = read_dir(Path(args.data) / name)
        samples: Table = {}
        for utt, path in tables["wav.scp"].items():
            try:
                info = soundfile.info(path)
            except (RuntimeError, OSError) as e:
                raise UserError(f"{name}/wav.scp: cannot read '{utt}': {e}") from e
            if info.samplerate != args.fs or info.channels != 1:
                raise UserError(
                    f"{name}/wav.scp: '{utt}' has {info.samplerate} Hz and "
                    f"{info.channels} channel(s), not {args.fs} Hz mono"
                )
            samples[utt] = str(info.frames)
        tables["utt2num_samples"] = samples
        raw = Path(args.dumpdir) / "raw"
        if name in (train, valid):
            write_dir(raw / "org" / name, tables)
        if name in args.test_sets.split() and name != valid:
            write_dir(raw / name, tables)
        for folder in (raw / "org" / name, raw / name):
            if folder.is_dir():
                (folder / "feats_type").write_text("raw\n", encoding="utf-8")


def stage4(args: argparse.Namespace) -> None:
    """Drop what is too short, too long or empty from the train and valid sets."""
    for name in (train_name(args), args.valid_set):
        raw = Path(args.dumpdir) / "raw"
        tables = read_dir(raw / "org" / name, FILES + ("utt2num_samples",))
        kept = {
            utt
            for utt, n in tables["utt2num_samples"].items()
            if args.min_wav_duration < int(n) / args.fs < args.max_wav_duration
            and tables["text"].get(utt)
        }
        if not kept:
            raise UserError(f"{raw / 'org' / name}: no utterance is left to use")
        dropped = len(tables["wav.scp"]) - len(kept)
        if dropped:
            logging.warning("%s: %d utterances dropped", name, dropped)
        write_dir(
            raw / name,
            {n: {u: v for u, v in t.items() if u in kept} for n, t in tables.items()},
        )
        (raw / name / "feats_type").write_text("raw\n", encoding="utf-8")


def stage5(args: argparse.Namespace) -> None:
    """Token list: characters or words by frequency, or sentencepiece's pieces.

    The symbols of --nlsyms_txt, such as intents, are one token each.
    """
    folder = token_dir(args)
    folder.mkdir(parents=True, exist_ok=True)
    train = Path(args.dumpdir) / "raw" / train_name(args)
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
