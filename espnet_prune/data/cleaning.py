# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""References as a model's training saw them: cleaned as ESPnet's asr.sh does."""

import re
from typing import Callable, List, Optional, Sequence

from espnet_prune.utils import UserError, nearest

CLEANERS = ("tacotron", "jaconv", "vietnamese", "korean_cleaner")
CLEANERS += ("whisper_en", "whisper_basic")


def text_cleaner(name: Optional[str]) -> Callable[[str], str]:
    """Return ESPnet's text cleaner; as in asr.sh it is for references alone.

    Args:
        name: As `cleaner` in a model's config.yaml; None or "none" changes nothing.

    Returns:
        A function of a text. White space of any kind and length becomes one blank
        first, as asr.sh's scoring does it.

    Raises:
        UserError: An unknown name, or a package that the cleaner needs is missing.
    """
    if name in (None, "", "none"):
        return lambda text: " ".join(text.split())
    if name not in CLEANERS:
        raise UserError(
            f"cleaner '{name}' is not known{nearest(name, CLEANERS)}; known are none, "
            + ", ".join(CLEANERS)
        )
    from espnet2.text.cleaner import TextCleaner

    cleaner = TextCleaner([name])
    try:
        cleaner("a")
    except RuntimeError as error:
        raise UserError(
            f"cleaner '{name}' needs a package that is not installed ({error})"
        ) from error
    return lambda text: cleaner(" ".join(text.split()))


def to_words(text: str, removed: Sequence[str] = ()) -> List[str]:
    """Split a text into words, without those in `removed`."""
    return [word for word in text.split() if word not in removed]


def to_characters(text: str, removed: Sequence[str] = ()) -> List[str]:
    """Split a text into characters, without the symbols in `removed`.

    A blank is "<space>"; of symbols with a common beginning the longest is meant.
    """
    symbols = sorted(map(re.escape, removed), key=len, reverse=True)
    found = re.findall("|".join([*symbols, "."]), text, re.S)
    gone = set(removed)
    return ["<space>" if c == " " else c for c in found if c not in gone]
