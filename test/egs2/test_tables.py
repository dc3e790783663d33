# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The tables of READMEs are what the committed rows say."""

from pathlib import Path

import pytest
import yaml

from espnet_prune.bin import compare
from espnet_prune.report.compare import tables
from espnet_prune.report.compare.scores import figures
from espnet_prune.utils import UserError, read_json, write_json

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("egs2/**/*.md")]
)
RESULTS = sorted(ROOT.glob("egs2/*/*/results/**/*.json"))
SPEC = "{folder: rows, columns: [model, removed, seeds, 'wer:test']}"
PAGE = f"text\n<!-- rows {SPEC} -->\nanything\n<!-- end of rows -->\nmore\n"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_are_as_their_rows(path):
    text = path.read_text(encoding="utf-8")
    assert (
        tables.render(text, path.parent) == text
    ), "espnet-prune compare --update_readme"
    assert text.count("\n<!-- rows ") == len(tables.MARKS.findall(text))


def test_all_recipes_with_rows_have_tables():
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    marks = [found[1] for text in texts for found in tables.MARKS.findall(text)]
    specs = [yaml.safe_load(mark) for mark in marks]
    used = {Path(spec["folder"]).name for spec in specs}
    to_come = {Path(spec["folder"]).name for spec in specs if "if_none" in spec}
    folders = {path.parent.name for path in RESULTS}
    assert folders and folders <= used and used - folders <= to_come


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_rows(path):
    """A row says what made it, and names no machine and no directory of its own."""
    row = read_json(path)
    assert row["command"] and row["versions"] and row["scores"]["wer"]
    assert "/home" not in path.read_text() and "/work" not in path.read_text()
    if not row.get("converted"):
        assert row.keys() >= {"seed", "commit", "machine", "inputs"}
    for values in (v for sets in row["scores"].values() for v in sets.values()):
        low, high = values["interval"]
        assert low <= values["rate"] <= high and values["drawn"]


def row(name, seed, errors, **more):
    made = figures(errors, [10] * len(errors), f"{len(errors)} speakers")
    scores = {"wer": {"test": made}}
    base = {
        "budget": {"kind": "params"},
        "name": name,
        "size": 50,
        "seed": seed,
        "place": 1,
        "scores": scores,
    }
    return {**base, "kind": "prune", "decoding": {"beam_size": 2}, **more}


@pytest.fixture
def page(tmp_path):
    for seed, errors in ((0, [1, 2]), (1, [3, 4])):
        write_json(row("l0", seed, errors), tmp_path / "rows" / f"l0_s{seed}.json")
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path / "README.md"


def test_methods_over_sizes(page):
    """A row per method in the order of the YAML, a column per size, the whole first."""
    folder = page.parent / "rows"
    more = {"place": 2, "label": "magnitude, untrained"}
    write_json(row("magnitude", 0, [4, 4], **{**more, "size": 85}), folder / "m85.json")
    whole = row("dense", 0, [1, 1], size=0, place=0, kind="dense")
    write_json(whole, folder / "dense.json")
    spec = "{folder: rows, by_size: 'wer:test', digits: 1}"
    text = tables.render(PAGE.replace(SPEC, spec), page.parent)
    found = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    assert cells[0] == ["model", "whole", "-50 %", "-85 %"]
    assert [line[0] for line in cells[2:]] == ["dense", "l0", "magnitude, untrained"]
    assert cells[2][1].startswith("10.0 [") and cells[2][2:] == ["", ""]
    assert cells[3][2].startswith("25.0 [") and cells[4][3].startswith("40.0 [")


def test_a_table_is_made_anew(page, monkeypatch, capsys):
    monkeypatch.chdir(page.parent)
    compare.main(["--update_readme"])
    text = page.read_text()
    assert text.startswith("text\n") and text.endswith("more\n")
    assert "anything" not in text
    assert "| l0    | 50 % of the parameters |   0 1 | 25.00 [20.00, 30.00] |" in text
    assert "README.md: written" in capsys.readouterr().out
    compare.main(["--update_readme", "README.md"])
    assert "README.md: is as its rows" in capsys.readouterr().out
    page.write_text(text.replace("25.00", "24.00"))
    assert tables.render(page.read_text(), page.parent) == text


def test_what_stands_where_nothing_is_measured_yet(page):
    spec = SPEC.replace("{", "{if_none: unmeasured, ")
    text = PAGE.replace(SPEC, spec)
    assert "| l0 " in tables.render(text, page.parent)
    text = text.replace("folder: rows", "folder: none")
    assert "-->\nunmeasured\n<!--" in tables.render(text, page.parent)


def test_different_rows_are_refused(page):
    """Other options of decoding, or other references, are not one table."""
    other = row("l0", 2, [1, 1], decoding={"beam_size": 5})
    write_json(other, page.parent / "rows" / "l0_s2.json")
    with pytest.raises(UserError, match="decoded differently: beam_size 2 and 5"):
        tables.update_readme(page)
    write_json(row("l0", 2, [1]), page.parent / "rows" / "l0_s2.json")
    with pytest.raises(UserError, match="scored on other utterances"):
        tables.update_readme(page)


def test_bad_marks(page):
    for change, message in (
        (("columns", "colums"), "unknown key 'colums'.*mean 'columns'"),
        (("seeds", "sees"), "columns: unknown 'sees'"),
        (("[model", "[model: }"), "not YAML"),
        (("columns", "names"), "folder is needed, and columns or by_depth or by_size"),
        (("folder: rows", "folder: gone"), "gone: no rows are there"),
    ):
        page.write_text(PAGE.replace(*change))
        with pytest.raises(UserError, match=message):
            tables.update_readme(page)
