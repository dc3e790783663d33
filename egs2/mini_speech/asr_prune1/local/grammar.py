# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The sentences of mini_speech: a small grammar of commands, dates and numbers.

A template is a list of items; an item is a word, or the name of a class in angle
brackets. The classes hold words that sound alike on purpose (THIRTEEN and THIRTY,
BOSTON and AUSTIN, ON and OFF), so that a model that was pruned too far makes errors.
What a sentence wants, its intent, follows from its words.
"""

from typing import Dict, List, Set

import numpy as np

from espnet_prune.utils import UserError

CLASSES: Dict[str, str] = {
    "digit": "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE",
    "hour": "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE",
    "teen": "TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN SEVENTEEN EIGHTEEN "
    "NINETEEN",
    "ten": "TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY",
    "minute": "TEN FIFTEEN TWENTY THIRTY FORTY FIFTY",
    "month": "JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER "
    "NOVEMBER DECEMBER",
    "weekday": "MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY",
    "city": "BOSTON AUSTIN DENVER DALLAS CHICAGO TORONTO LONDON LISBON BERLIN DUBLIN "
    "OSLO PARIS",
    "device": "LIGHT FAN RADIO HEATER",
    "switch": "ON OFF",
    "vehicle": "TRAIN FLIGHT BUS",
    "action": "START STOP PLAY",
}

TEMPLATES: List[str] = [
    "<digit> <digit> <digit> <digit>",
    "<digit> <digit> <digit> <digit> <digit> <digit>",
    "CALL <digit> <digit> <digit> <digit> <digit>",
    "<month> <teen>",
    "<weekday> <month> <teen>",
    "<weekday> <month> TWENTY <digit>",
    "<month> <teen> NINETEEN <ten> <digit>",
    "<ten> <digit> FROM <city>",
    "<digit> HUNDRED <ten> <digit>",
    "<digit> HUNDRED <teen>",
    "TURN <switch> THE <device> AT <hour>",
    "TURN THE <device> <switch> AT <hour> <minute>",
    "<action> THE <device> AT <hour>",
    "SET ALARM FOR <hour> <minute>",
    "SET ALARM FOR <weekday> AT <hour> <minute>",
    "<vehicle> FROM <city> TO <city>",
    "THE <hour> <minute> <vehicle> TO <city>",
    "<vehicle> TO <city> ON <weekday> <month> <teen>",
    "GO TO <city> ON <weekday>",
    "STOP THE <device> ON <weekday>",
    "CALL <city> AT <hour>",
]

# what is looked for in a sentence, and its intent; the first line that fits holds
INTENTS: Dict[str, str] = {
    "SET": "alarm_set",
    "CALL AT": "call_city",
    "CALL": "call_number",
    "GO": "travel_go",
    "<vehicle>": "travel_ticket",
    "OFF": "device_off",
    "STOP": "device_off",
    "<device>": "device_on",
    "<month>": "date_tell",
    "FROM": "origin_tell",
    "HUNDRED": "number_tell",
    "<digit>": "code_tell",
}


def vocabulary() -> Set[str]:
    """Return every word that the grammar can produce."""
    words = {word for names in CLASSES.values() for word in names.split()}
    for template in TEMPLATES:
        words.update(w for w in template.split() if not w.startswith("<"))
    return words


def fill(template: str, rng: np.random.Generator) -> str:
    """Draw one sentence of 2-8 upper-case words from a template."""
    words = []
    for item in template.split():
        if item.startswith("<"):
            choices = CLASSES[item[1:-1]].split()
            item = choices[int(rng.integers(len(choices)))]
        words.append(item)
    return " ".join(words)


def intent(sentence: str) -> str:
    """Return what a sentence of the grammar wants, one lower-case word.

    Raises:
        UserError: It is no sentence of the grammar.
    """
    words = set(sentence.split())
    for items, name in INTENTS.items():
        signs = [CLASSES[i[1:-1]] if i.startswith("<") else i for i in items.split()]
        if all(words & set(sign.split()) for sign in signs):
            return name
    raise UserError(f"mini_speech: '{sentence}' is no sentence of the grammar")


def sentences(rng: np.random.Generator, count: int, taken: Set[str]) -> List[str]:
    """Draw `count` sentences that are not in `taken`, and add them to it.

    Every run through the shuffled templates uses each of them once.

    Raises:
        UserError: The grammar has hardly any sentence left that is not taken.
    """
    found: List[str] = []
    refused = 0
    while len(found) < count:
        for i in rng.permutation(len(TEMPLATES)):
            text = fill(TEMPLATES[i], rng)
            if text in taken:
                refused += 1
            elif len(found) < count:
                taken.add(text)
                found.append(text)
        if refused > 100 * len(TEMPLATES) + 10 * count:
            raise UserError(
                f"the grammar of mini_speech is too small for {count} more sentences; "
                "ask for fewer with --train_utts, --dev_utts or --test_utts"
            )
    return found
