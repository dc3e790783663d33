# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The speakers of mini_speech: accent x voice variant x pitch x rate.

Variants that are near twins in espeak-ng (a few formants or only the pitch differ)
stand in one group and belong to one split; whispering and robot voices are left out.
Voices unlike all others (Alicia, shelby) are for training only.
"""

from typing import Dict, List, NamedTuple


class Speaker(NamedTuple):
    """One synthetic speaker.

    Attributes:
        name: Speaker id of the data directory.
        accent: espeak-ng language, such as `en-us`.
        variant: File name of the espeak-ng voice variant.
        pitch: espeak-ng base pitch, 0-99.
        rate: Words per minute.
    """

    name: str
    accent: str
    variant: str
    pitch: int
    rate: int


ACCENTS = ("en-us", "en-gb-x-rp", "en-us-nyc")

TWINS = (
    ("adam", "benjamin", "klatt6"),
    ("edward", "edward2"),
    ("f2", "f5"),
    ("f3", "f4", "aunty", "belinda", "linda"),
    ("Gene", "Gene2"),
    ("Hugo", "Henrique", "Diogo", "michel", "miguel"),
    ("iven", "iven2", "iven3", "iven4"),
    ("m3", "Mike", "mike2"),
    ("m7", "m8", "Nguyen"),
    ("max", "RicishayMax", "RicishayMax2", "RicishayMax3"),
    ("Michael", "Mario", "gustave"),
    ("pedro", "antonio"),
    ("rob", "robert", "quincy"),
    ("steph", "steph2", "steph3"),
)

VARIANTS: Dict[str, str] = {
    "train": "m1 f1 f2 m4 f5 m5 Annie Alex steph Andy steph2 Michael Mario Gene max "
    "robert rob quincy Hugo Diogo adam edward antonio Alicia shelby travis",
    "dev": "m6 Andrea Jacky paul",
    "test": "m2 m3 f3 m7 belinda victor ed",
    "test_large": "Denis Lee Reed Storm Tweaky boris croak david grandma grandpa ian "
    "iven john klatt3 klatt4 klatt5 marcelo norbert pablo sandro",
}

# every variant of a split speaks with so many accents; a speaker is one pair of them
ACCENTS_OF_A_VARIANT = {"train": 3, "dev": 1, "test": 1, "test_large": 1}

# spread over the speakers of a split by steps that are coprime to the lengths
_PITCHES = (50, 38, 62, 45, 56)
_RATES = (165, 150, 182, 158, 174, 142, 190)


def speakers(split: str) -> List[Speaker]:
    """Return the speakers of a split, always in the same order."""
    variants, found = VARIANTS[split].split(), []
    for turn in range(ACCENTS_OF_A_VARIANT[split]):
        for j, variant in enumerate(variants):
            i = turn * len(variants) + j
            # a step a turn, so that no variant meets an accent twice
            accent = ACCENTS[(j + turn) % len(ACCENTS)]
            name = f"{variant.lower()}-{accent.replace('-', '')}"
            pitch, rate = _PITCHES[i % len(_PITCHES)], _RATES[i % len(_RATES)]
            found.append(Speaker(name, accent, variant, pitch, rate))
    return found
