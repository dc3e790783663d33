# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from espnet_prune.bin import report
from espnet_prune.report import pareto, parts, results
from espnet_prune.report.plots import (
    remains_figure,
    selection_figure,
    structure_figure,
    svg,
)
from espnet_prune.report.run import page, provenance_of
from espnet_prune.report.tables import headline, in_order, tables
from espnet_prune.utils import UserError, write_json

DENSE = {
    "kept_blocks": [0, 1],
    "attention_heads": [4, 4],
    "linear_units": [64, 64],
    "macaron_linear_units": [64, 64],
    "conv_channels": [32, 32],
    "subsampling_channels": [32, 32],
}
KEPT = {
    "kept_blocks": [1],
    "attention_heads": [2],
    "linear_units": [17],
    "macaron_linear_units": [0],
    "conv_channels": [9],
    "subsampling_channels": [20, 16],
}
KEYS = ("target", "reached", "multiplier")


def figures(name, params, ms, rate, measures=("wer", "cer")):
    values = {"snt": 1, "wrd": 10, "corr": 9, "sub": 1, "del": 0, "ins": 0, "err": 1}
    values.update(wrong_snt=1, rate=rate, interval=[rate - 1, rate + 1])
    return {
        "name": name,
        "sha256": "0" * 64,
        "encoder_params": params,
        "total_params": 2 * params,
        "frames": 1000,
        "gmacs": params / 1e6,
        "bytes": 8 * params,
        "latency": {"min_ms": ms, "median_ms": ms},
        "parts": {"decoder": {"params": params, "macs": params}},
        "structure": DENSE if name == "dense" else KEPT,
        "scores": {"test": dict.fromkeys(measures, values)},
    }


def test_the_table_reads_well_and_gives_shares():
    found = [figures("dense", 2_000_000, 40.0, 10.0), figures("cut", 10**6, 20.0, 12.5)]
    del found[1]["scores"]["test"]["cer"]
    lines = results.compression_table(found, 10).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells == [
        "cut", "12.5", "-", "1 M (50%)", "2 M (50%)", "1 (50%)", "8.0", "20.0 (50%)"
    ]  # fmt: skip
    picture = ("A & B", "<svg></svg>")
    text = page("<title>", "\n".join(lines), [picture], {"command": "a < b"})
    for part in ("&lt;title&gt;", "A &amp; B", "<svg></svg>", "a &lt; b"):
        assert part in text
    table = ElementTree.fromstring(re.search("<table>.*</table>", text, re.S)[0])
    assert len(table) == 3
    assert table[0][1].text == "WER test"


def test_milliseconds_are_told_in_words(tmp_path):
    row = {"part": "encoder", "limit": 20.0, "dense": 40.0, "predicted": 19.5}
    row.update(measured=20.25, where=" (abacus)")
    path = tmp_path / "structure.json"
    write_json({"provenance": {"method": "obs", "ms": [row]}}, path)
    text = "encoder: limit 20 ms, predicted 19.5, measured 20.25, dense 40 (abacus)"
    assert provenance_of(path) == {"method": "obs", "ms": text}
    assert provenance_of(tmp_path / "lost.json") == {}


def test_test_sets_stand_first_and_decide():
    """What was chosen on dev looks better there."""
    found = [figures("dense", 2_000_000, 40.0, 10.0), figures("cut", 10**6, 20.0, 12.5)]
    for row, dev in zip(found, (9.0, 3.0)):
        values = {**row["scores"]["test"]["wer"], "rate": dev}
        sets = {"dev": {"wer": values}, **row["scores"], "dev+test": {"wer": values}}
        row["scores"] = sets
    head = results.compression_table(found, 10).splitlines()[0].split("|")
    assert [c.strip() for c in head[2:4]] == ["WER test", "WER dev"]
    assert in_order(["dev", "b_test", "dev+test", "a"]) == [
        "b_test", "dev", "a", "dev+test"
    ]  # fmt: skip
    points = pareto.points(found)
    assert [(p["set"], p["wer"]) for p in points] == [("test", 10.0), ("test", 12.5)]
    several = ["test_clean", "test_other", "test_clean+test_other"]
    assert headline(several) == several[2]
    assert headline(["dev", "dev2", "dev+dev2"]) == "dev"
    assert headline(["eval1"]) == "eval1"
    assert headline(["a_test", "b_test"]) == "a_test"


def test_intents_come_first_in_the_tables():
    found = [figures("dense", 10**6, 1.0, 75.0, ("intent", "wer"))]
    head, _, line = results.compression_table(found, 10).splitlines()
    assert [c.strip() for c in head.split("|")[2:5]] == [
        "intent acc. test",
        "WER test",
        "CER test",
    ]
    assert [c.strip() for c in line.split("|")[2:5]] == ["75.0", "75.0", "-"]
    found[0]["scores"]["test"]["intent"]["snt"] = 10
    text = tables("decode", found[0]["scores"])
    assert text.startswith(
        "### Intent\n\n|dataset|Snt|Intent Classification (%)|\n|---|---|---|\n"
        "|decode/test|10|90.0|\n\n### WER\n"
    )


def test_figures_are_valid_svg_and_show_the_counts():
    picture = svg(structure_figure(DENSE, KEPT))
    ElementTree.fromstring(picture)
    for count in (17, 9, 20, 16):
        assert f"<!-- {count} -->" in picture
    assert picture == svg(structure_figure(DENSE, KEPT))
    lines = [{"step": n, "target": n / 10, "reached": n / 11} for n in range(5)]
    ElementTree.fromstring(svg(selection_figure(lines)))
    names = ("cnn_params", "transformer_params")
    several = [
        {"step": n, **{f"{key}_{name}": n / 10 for name in names for key in KEYS}}
        for n in range(5)
    ]
    picture = svg(selection_figure(several))
    for name in names:
        assert f"reached {name}".replace("_", " ") in picture


def test_one_picture_of_several_prunings():
    speech = {"wave_channels": [8, 12], "kept_blocks": [0, 1]}
    dense = {**speech, "attention_heads": [4, 4], "linear_units": [64, 64]}
    one = {**dense, "wave_channels": [5, 11], "linear_units": [0, 33]}
    two = {**KEPT, "wave_channels": [7, 10]}
    picture = svg(remains_figure(dense, [("macs 40 %", one), ("blocks", two)]))
    ElementTree.fromstring(picture)
    for text in ("macs 40 %", "blocks", "dense", "5", "11", "33", "7", "10", "2", "17"):
        assert f"<!-- {text} -->" in picture
    assert "<!-- 20 -->" not in picture  # a kind that the dense encoder has not


def test_a_missing_stage_is_told(tmp_path):
    with pytest.raises(UserError, match="config.yaml is missing: run the earlier"):
        results.entries(tmp_path, tmp_path, "valid.acc.ave.pth", "decode")


@pytest.fixture
def experiment(tmp_path):
    """A dense and a pruned experiment directory with three different checkpoints."""
    dense, pruned = tmp_path / "dense", tmp_path / "pruned"
    for folder, name in ((dense, "m"), (pruned, "m"), (pruned / "cut", "model")):
        folder.mkdir(exist_ok=True)
        for file in ("config.yaml", f"{name}.pth"):
            (folder / file).write_text(f"output_dir: {folder}")
    return dense, pruned


def test_without_recovery_there_is_one_pruned_model(experiment):
    dense, pruned = experiment
    names = [row.name for row in results.entries(dense, pruned, "m.pth", "decode")]
    assert names == ["dense", "pruned", "pruned + recovered"]
    (pruned / "m.pth").write_text((pruned / "cut" / "model.pth").read_text())
    rows = results.entries(dense, pruned, "m.pth", "decode")
    assert [row.name for row in rows] == ["dense", "pruned"]
    assert rows[1].decoded == pruned / "decode"  # cut/ is not decoded then


def test_report_command(experiment, tmp_path, monkeypatch, capsys):
    dense, pruned = experiment
    write_json({"provenance": {"method": "l0"}}, pruned / "cut" / "structure.json")
    scores = figures("dense", 1, 1.0, 10.0)["scores"]
    write_json({"sets": scores}, dense / "decode" / "score.json")
    (pruned / "select").mkdir()
    (pruned / "select" / "select.jsonl").write_text(
        "".join(
            json.dumps({"step": n, "target_cnn_macs": 0.5, "reached_cnn_macs": 0.4})
            + "\n"
            for n in (1, 2)
        )
    )

    def measure(rows, frames, runs):
        return [figures(row.name, 1000, 1.0, 0.0) for row in rows]

    def heard(models, options, runs, entries):
        assert list(models)[0] == "dense" and options == {"beam_size": 7} and runs == 2
        times = {name: {"decoder": 12.5, "beam": 25.0} for name in models}
        about = {"speech": "noise", "options": options, "runs": runs}
        return {**about, "times": times}

    write_json({"beam_size": 7}, dense / "decode" / "decoding.json")
    monkeypatch.setattr(results, "measure", measure)
    monkeypatch.setattr(parts, "measure_recognition", heard)
    options = f"--dense_exp {dense} --prune_exp {pruned} --model m.pth --decode decode"
    report.main([*options.split(), "--runs", "2"])
    out = capsys.readouterr().out
    assert "| pruned + recovered |" in out
    text = (pruned / "RESULTS.md").read_text()
    assert "- espnet version: `espnet " in text and "- method: `l0`" in text
    assert "|decode/test|1|10|90.0|10.0|0.0|0.0|10.0|100.0|" in text
    page = (pruned / "report.html").read_text()
    assert page.count("<svg") == 2 and page.count("<table>") == 2
    for written in (out, text, page):
        assert "recognition, beam search" in written and "beam_size 7" in written
        assert "12.5" in written and "assumed, there is no training data" in written
    assert "http" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")
    assert len(json.loads((pruned / "report.json").read_text())["models"]) == 3
    assert (pruned / "images" / "structure.png").stat().st_size > 1000
