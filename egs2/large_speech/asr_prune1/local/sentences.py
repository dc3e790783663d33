# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The sentences of large_speech: a grammar over many words, and names that are new.

An item of a template is a word, or a rule in angle brackets: other templates, a list of
words, a form of a verb or a noun, or a name. A name is made of syllables at the moment
it is needed, so that nobody can know all words: a quarter of them are from 200 that
come again.
"""

from typing import Callable, Dict, List, Set

import numpy as np
from lexicon import VERBS, WORDS
from splits import rng_of

RULES: Dict[str, List[str]] = {
    "sentence": [
        "<np> <vp>",
        "<np> <vp> <pp>",
        "<np> <vp> <time>",
        "<np> <vp> <joint> <np> <vp>",
        "<time> <np> <vp>",
        "<np> <vp> ON <when>",
        "<np> <modal> <base> <np>",
        "<np> <modal> NOT <base> <np> <pp>",
        "<ask> DID <np> <base> <np>",
        "<ask> <modal> WE <base> <np>",
        "<base> <np> <pp>",
        "<base> <np> AND <base> <np>",
        "<np> IS <ing> <np>",
        "<np> <be> <adjective> AND <adjective>",
        "THERE WERE <number> <plural> <pp>",
        "IT IS <number> <unit> FROM <name> TO <name>",
        "<name> AND <name> <past> <np>",
        "<title> <name> LIVES AT <number> <name> <place>",
    ],
    "np": [
        "<det> <noun>",
        "<det> <adjective> <noun>",
        "<det> <adjective> <adjective> <noun>",
        "<dets> <plural>",
        "<dets> <adjective> <plural>",
        "<det> <noun> OF <name>",
        "<number> <plural>",
        "<title> <name>",
        "<name>",
    ],
    "vp": ["<past> <np>", "<past> <np>", "<adverb> <past> <np>", "<modal> <base> <np>"],
    "pp": ["<prep> <np>", "<prep> <det> <noun>", "IN <name>", "WITH <det> <noun>"],
}

ONSETS = (
    "B D F K L M N P R S T V Z BL BR DR FL FR KR PL PR SH SK SL SM SP ST TR".split()
)
NUCLEI = "A EE OO AI AR OR I".split()
INNER = "B D F K L M N P T V LD LM LT MP ND NT RK RN SK ST".split()
CODAS = "D K L M N P T ND ST NK".split()
KNOWN = 200  # names that come again


def plural(noun: str) -> str:
    """SHIP -> SHIPS, TORCH -> TORCHES, VALLEY -> VALLEYS, DAISY -> DAISIES."""
    if noun.endswith(("S", "X", "Z", "CH", "SH")):
        return noun + "ES"
    if noun.endswith("Y") and noun[-2] not in "AEO":
        return noun[:-1] + "IES"
    return noun + "S"


def past(verb: str) -> str:
    """LIFT -> LIFTED, BAKE -> BAKED, CARRY -> CARRIED."""
    if verb.endswith("Y") and verb[-2] not in "AEO":
        return verb[:-1] + "IED"
    return verb + ("D" if verb.endswith("E") else "ED")


def participle(verb: str) -> str:
    """LIFT -> LIFTING, BAKE -> BAKING."""
    return (verb[:-1] if verb.endswith("E") else verb) + "ING"


def adverb(adjective: str) -> str:
    """QUICK -> QUICKLY, HAPPY -> HAPPILY, GENTLE -> GENTLY, FULL -> FULLY."""
    for end, other in (("LE", "LY"), ("LL", "LLY"), ("Y", "ILY")):
        if adjective.endswith(end):
            return adjective[: -len(end)] + other
    return adjective + "LY"


def name(rng: np.random.Generator) -> str:
    """Make a name of two syllables, whose spelling is heard."""

    def pick(choices: List[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    return "".join(map(pick, (ONSETS, NUCLEI, INNER, NUCLEI, CODAS)))


def known_names(seed: int) -> List[str]:
    """Return the names of a corpus that come again."""
    rng, found = rng_of(seed, "names"), {}
    while len(found) < KNOWN:
        found[name(rng)] = None
    return list(found)


class Grammar:
    """Draws sentences.

    Args:
        seed: Of the names that come again.
    """

    def __init__(self, seed: int) -> None:
        words = {key: text.upper().split() for key, text in WORDS.items()}
        verbs, nouns = VERBS.upper().split(), words["noun"]
        forms: Dict[str, Callable[[str], str]] = {"past": past, "ing": participle}
        words.update({key: list(map(form, verbs)) for key, form in forms.items()})
        words.update(
            base=verbs, plural=list(map(plural, nouns)), known=known_names(seed)
        )
        words["adverb"] = [adverb(word) for word in words["adjective"]]
        self.words = words

    def expand(self, item: str, rng: np.random.Generator) -> List[str]:
        """Draw the words of one item of a template."""
        if not item.startswith("<"):
            return [item]
        rule = item[1:-1]
        if rule == "name":
            if rng.random() >= 0.25:
                return [name(rng)]
            rule = "known"
        choices = RULES.get(rule) or self.words[rule]
        chosen = choices[int(rng.integers(len(choices)))]
        if rule not in RULES:
            return [chosen]
        return [word for part in chosen.split() for word in self.expand(part, rng)]

    def sentences(
        self, rng: np.random.Generator, count: int, taken: Set[str]
    ) -> List[str]:
        """Draw `count` sentences that are not in `taken`, and add them to it."""
        found: List[str] = []
        while len(found) < count:
            text = " ".join(self.expand("<sentence>", rng))
            if text not in taken:
                taken.add(text)
                found.append(text)
        return found
