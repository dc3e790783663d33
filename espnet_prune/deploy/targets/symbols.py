# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tokens as runtimes want them that make the text of CTC's tokens themselves."""

from pathlib import Path
from typing import List, Optional, Sequence

from espnet_prune.runtime.package import Package
from espnet_prune.utils import atomic_write

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # the mark of sentencepiece
BLANK = "<blk>"
_UNKNOWN = f"{SPACE}\N{DOUBLE QUESTION MARK}"  # as sentencepiece says it


def symbols(package: Package) -> List[str]:
    """Return what stands for each token: what begins a word has the mark of a space."""
    config = package.config
    found = [SPACE if t == config.space else t for t in package.tokens]
    if config.token_type == "word":
        found = [SPACE + token for token in package.tokens]
    if config.token_type == "bpe":
        found = [_UNKNOWN if t == "<unk>" else t for t in package.tokens]
    found[config.blank] = BLANK
    return found


def write_symbols(package: Package, path: Path) -> None:
    """Write "symbol id" lines."""
    with atomic_write(path) as stream:
        for number, symbol in enumerate(symbols(package)):
            stream.write(f"{symbol} {number}\n")


def unfit_symbols(package: Package, skipped: Sequence[str] = ()) -> Optional[str]:
    """Return why a runtime would make another text of tokens, or None.

    Args:
        package: The deployed model.
        skipped: Tokens that the runtime leaves out of texts.
    """
    names = symbols(package)
    for token, name in zip(package.tokens, names):
        if " " in name or not name:
            return f"takes no token with a space inside, such as {token!r}"
        if name in skipped:
            return f"leaves the token {token} out of texts"
    return None
