# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Times of a comparison: real models, in torch and in onnxruntime."""

from pathlib import Path

from espnet_prune.report.compare.tables import column, joined
from espnet_prune.report.compare.times import measure_times, shape_key
from espnet_prune.report.compare.write import figure
from espnet_prune.report.results import Entry
from test.espnet_prune.deep import CONFIG, HYBRID, write_model


def test_what_is_timed(tmp_path):
    entries = {}
    for name, config in (("ctc", CONFIG), ("hybrid", HYBRID)):
        exp = tmp_path / name
        write_model(exp, config)
        entries[name] = Entry(name, exp / "config.yaml", exp / "model.pth", Path())
    found = measure_times(entries, {"beam_size": 2}, 2)
    assert list(found) == ["ctc", "hybrid"]
    for own in found.values():
        assert own.keys() == {"ms", "onnx_ms", "ctc_ms", "beam_ms"}
        assert all(0.0 < ms < 10000.0 for ms in own.values())


def test_the_shape_is_that_of_modules_and_not_of_the_training():
    assert shape_key(CONFIG) == shape_key({**CONFIG, "max_epoch": 3, "seed": 2})
    wide = {**CONFIG["encoder_conf"], "linear_units": 48}
    assert shape_key(CONFIG) != shape_key({**CONFIG, "encoder_conf": wide})
    assert shape_key(CONFIG) != shape_key({**CONFIG, "decoder": "transformer"})


def row(name, seed=0, **times):
    """A row's JSON."""
    rate = {"rate": 10.0, "interval": [9.0, 11.0], "errors": "1", "words": "10"}
    scores = {"wer": {"test": {**rate, "drawn": "1 utterances"}}}
    own = {"name": name, "kind": "prune", "size": 50, "place": 0, "scores": scores}
    return {**own, "seed": seed, **times}


FIRST, SECOND = "2026-11-29T10:00:00Z", "2026-11-30T09:00:00Z"


def test_a_table_has_times_of_one_run(caplog):
    """That of most of its lines, the later of two; a picture has no others, either."""
    a, b = row("a", ms=4.0), row("b", ms=2.0, onnx_ms=1.0)
    assert column("ms", [a, b])[1:] == ["4.0", "2.0 (50%)"] and not caplog.records
    lines = [{**a, "timed": FIRST}, {**b, "timed": SECOND}]
    assert column("ms", lines)[1:] == ["", "2.0"]
    assert "encoder ms: 1 of 2 are of another run" in caplog.text
    assert column("ms", [*lines, row("c", ms=3.0)])[1:] == ["", "2.0", ""]
    lines.append(row("c", ms=3.0, timed=FIRST))
    assert column("ms", lines)[1:] == ["4.0", "", "3.0 (75%)"]
    # what was not timed is of no run
    assert column("onnx_ms", [a, *lines])[1:] == ["", "", "1.0", ""]
    drawn = [joined([one], Path()) for one in (*lines, row("d", onnx_ms=1.0))]
    labels = [label.get_text() for label in _legend(figure(drawn, "onnx_ms"))]
    assert labels == ["b"]


def _legend(drawn):
    return drawn.axes[0].get_legend().get_texts()


def test_a_line_has_times_of_one_run():
    """Those of the last run; of the first seed that has them where none is told."""
    older = row("a", 0, ms=4.0, onnx_ms=3.0, beam_ms=9.0, core_minutes=1.0)
    newer = row("a", 1, ms=5.0, onnx_ms=None, timed=SECOND)
    line = joined([older, newer], Path())
    assert (line["ms"], line["onnx_ms"], line["beam_ms"]) == (5.0, None, None)
    assert line["timed"] == SECOND and line["core_minutes"] == 1.0
    line = joined([{**older, "timed": FIRST}, newer], Path())
    assert line["ms"] == 5.0
    line = joined([older, {**newer, "timed": None}], Path())
    assert (line["ms"], line["onnx_ms"]) == (4.0, 3.0)
