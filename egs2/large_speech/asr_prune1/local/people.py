# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The speakers of large_speech: those of mini_speech and more, of several sizes.

A voice is stretched in time, which moves its formants as another vocal tract does. No
variant, and no near twin of one (`voices.TWINS`), is in two splits.
"""

from typing import Dict, List, NamedTuple

from voices import VARIANTS as MINI

VARIANTS: Dict[str, List[str]] = {
    "train": MINI["train"].split()
    + "m3 m7 Mike anika caleb Marco zac announcer".split(),
    "dev": MINI["dev"].split() + "m2 f3 belinda victor ed".split(),
    "test": MINI["test_large"].split(),
}

# as often is every variant of a split heard, each time as another speaker
TURNS = {"train": 4, "dev": 1, "test": 2}

ACCENTS = (
    *("en-us", "en-gb-x-rp", "en-us-nyc", "en-gb-scotland"),
    *("en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"),
)

# spread over the speakers of a split by steps that are coprime to each other
_STRETCHES = (1.0, 0.93, 1.07, 0.97, 1.11, 0.9, 1.03, 1.15)
_PITCHES = (50, 38, 62, 45, 56)
_RATES = (165, 150, 182, 158, 174, 142, 190, 170, 200)


class Person(NamedTuple):
    """One synthetic speaker; see `voices.Speaker`.

    Attributes:
        stretch: Length of what is said, against that of the variant.
    """

    name: str
    accent: str
    variant: str
    pitch: int
    rate: int
    stretch: float


def people(split: str) -> List[Person]:
    """Return the speakers of a split, always in the same order."""
    found = []
    for turn in range(TURNS[split]):
        for j, variant in enumerate(VARIANTS[split]):
            i = turn * len(VARIANTS[split]) + j
            # a step a turn, so that no variant meets an accent twice
            accent = ACCENTS[(j + turn) % len(ACCENTS)]
            name = f"{variant.lower()}-{accent.replace('-', '')}"
            sizes = [of[i % len(of)] for of in (_PITCHES, _RATES, _STRETCHES)]
            found.append(Person(name, accent, variant, *sizes))
    return found
