# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the README, docs/ and the recipes' pages say is there is there."""

import ast
import os
import re
from pathlib import Path

import pytest

from espnet_prune.__main__ import STAGES, commands
from test.test_style import our_files

ROOT = Path(__file__).parents[1]
PAGES = our_files("*.md")
INNER = {
    "audio_state",
    "data_args",
    "decode_jobs",
    "link_dense",
    "needs",
}  # called by recipes


def anchor(heading):
    """Return the anchor that GitHub gives to a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S
    )
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, part = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), f"{page.name}: {link}"
        if part:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            assert part in map(anchor, headings), f"{page.name}: {link}"


def test_the_readme_is_short_and_leads_to_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 180
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name}" in text, page.name


def test_every_command_has_its_line():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    assert listed == set(commands()) - INNER
    assert INNER <= set(" ".join(STAGES.values()).split())


def test_messages_are_those_of_the_code():
    """Every quoted message of troubleshooting.md is said somewhere."""
    said = [os.strerror(28), *(p.read_text("utf-8") for p in our_files("egs2/*.sh"))]
    for path in our_files("espnet_prune/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(value, "value", "") for value in node.values]
                said.append("".join(p if isinstance(p, str) else "\0" for p in parts))
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.M)
    assert len(quoted) > 5
    for message in quoted:
        for part in message.split("..."):
            part = part.strip(" :;")
            assert any(part in text for text in said), part


def test_additions_are_shown_as_they_are():
    """Every block of CONTRIBUTING.md that names a file is in it, line for line."""
    text = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) > 2 and len(blocks) == text.count("```python")
    for path, code in blocks:
        assert code in (ROOT / path).read_text(encoding="utf-8"), path
