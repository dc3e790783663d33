# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One word per thing: what docs/glossary.md says not to write is not written."""

import re
from pathlib import Path

import pytest

from test.test_style import our_files

ROOT = Path(__file__).parents[1]
# rooms that speak of units; elsewhere jobs and files may be gone, and quotes closed
UNITS = "price structure units families encoders decoders measure distill train select "
UNITS += "cutting deploy report"
# word -> where it is not written
RULES = {
    r"gone": UNITS.split(),
    # a gate is shut, a unit is removed
    r"closed": UNITS.split(),
    r"cnn": [""],
    r"ratios?|proportions?": ["select", "units", "measure", "cutting"],
    r"neurons?|unpruned": [""],
}
# {word: {file: how often}}: may only shrink
EXEMPT = {
    # what older configurations say is still read
    r"cnn": {"docs/budgets.md": 1, "espnet_prune/measure/cost.py": 1},
}


def written(word, rooms):
    """Return {file: how often a word is in it}, of code, docs and scripts."""
    found = {}
    for path in our_files("espnet_prune/*.py", "docs/*.md", "README.md"):
        name = str(path.relative_to(ROOT))
        inside = any(name.startswith(f"espnet_prune/{room}") for room in rooms)
        if name == "docs/glossary.md" or not (inside or name.endswith(".md")):
            continue
        number = len(re.findall(rf"\b(?:{word})\b", path.read_text(encoding="utf-8")))
        if number:
            found[name] = number
    return found


@pytest.mark.parametrize("word", RULES)
def test_the_other_words_are_not_used(word):
    assert written(word, RULES[word]) == EXEMPT.get(word, {})


def test_the_glossary_names_them():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| ")]
    refused = " ".join(row[-1] for row in rows)
    for word in RULES:
        for plain in re.sub(r"\(\?<!.*?\)|\?", "", word).split("|"):
            assert plain.rstrip("s") in refused, plain
