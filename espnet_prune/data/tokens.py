# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Token lists, as stage 5 of ESPnet's asr.sh makes them."""

import collections
import logging
import re
from pathlib import Path
from typing import List, Optional, Sequence

from espnet_prune.data.tables import read_table
from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, atomic_write


def write_tokens(
    folder: Path, text: Path, kind: str, nbpe: int, nlsyms: Optional[str]
) -> None:
    """Token list: characters or words by frequency, or sentencepiece's pieces.

    Args:
        folder: Where tokens.txt, and sentencepiece's bpe.model, are written.
        text: Table of the training texts.
        kind: char, word or bpe.
        nbpe: Number of sentencepiece's pieces.
        nlsyms: File of symbols that are one token each, such as intents.

    Raises:
        UserError: See `read_symbols` and `train_bpe`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = [words for _, words in sorted(read_table(text).items())]
    symbols = read_symbols(nlsyms, kind) if nlsyms else []
    if kind == "bpe":
        tokens = train_bpe(folder, texts, nbpe, symbols)
    else:
        token = r"\S+"
        if kind == "char":
            token = "|".join([*map(re.escape, symbols), "."])
        count = collections.Counter(
            t for words in texts for t in re.findall(token, " ".join(words.split()))
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
