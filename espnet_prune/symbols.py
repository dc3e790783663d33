# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Words that stay one token, such as intents: ESPnet's non-linguistic symbols."""

from pathlib import Path
from typing import List

from espnet_prune.utils import PathLike, UserError, decode_utf8


def read_symbols(path: PathLike, token_type: str) -> List[str]:
    """Read the symbols of a file, one a line, in its order.

    ESPnet itself takes a missing file for one without symbols. With characters it looks
    for the symbols in no particular order, so that of two with the same beginning
    either may be found: those are refused, sentencepiece takes the longer one.

    Args:
        path: The file, as in ESPnet's --non_linguistic_symbols.
        token_type: Of the model: bpe, char or word.

    Raises:
        UserError: The file is missing, is not UTF-8 or has no symbol, a symbol is there
            twice or has a blank in it, or (char) is the beginning of another.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: no such file (non_linguistic_symbols); call this from the "
            "directory where the model was trained, or give another path"
        )
    text = decode_utf8(path.read_bytes(), path)
    if text.startswith("\ufeff"):  # ESPnet takes it for a part of the first symbol
        raise UserError(f"{path}: begins with a byte order mark, remove it")
    lines = text[:-1] if text.endswith("\n") else text
    symbols = [line.strip() for line in lines.split("\n")] if text else []
    if not symbols:
        raise UserError(f"{path}: there is no symbol in it")
    ordered = sorted(symbols)  # what begins alike stands side by side
    for symbol, following in zip(ordered, ordered[1:] + [""]):
        if len(symbol.split()) != 1:
            raise UserError(
                f"{path}: '{symbol}' is not one word, give one on each line"
            )
        if symbol == following:
            raise UserError(f"{path}: '{symbol}' is there twice, remove one")
        if token_type == "char" and following.startswith(symbol):
            raise UserError(
                f"{path}: '{following}' begins with '{symbol}', which ESPnet's "
                "character tokens mix up; rename one, or use --token_type bpe or word"
            )
    return symbols
