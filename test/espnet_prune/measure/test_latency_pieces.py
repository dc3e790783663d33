# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tables of onnxruntime: pieces say what the whole takes, here and without torch."""

import os
import random
import shutil
import subprocess
import sys

import pytest

from espnet_prune import UserError, cost, unit_graph
from espnet_prune.bin import latency
from espnet_prune.measure import latency_onnx
from espnet_prune.measure.latency_onnx import (
    export,
    measure_pieces,
    read_measured,
    shape_of,
    table_of_pieces,
)
from espnet_prune.measure.latency_pieces import pieces_of
from espnet_prune.measure.latency_ratio import shares_of_time
from espnet_prune.measure.latency_table import LatencyTable, amounts_of, named_terms
from espnet_prune.runtime.measure import call_of
from espnet_prune.utils import read_json, write_json
from test.espnet_prune.deep import HYBRID, write_model
from test.espnet_prune.encoder_zoo import ALL, build
from test.espnet_prune.tables import table_of

# a torch, and whatever needs one, that cannot be imported
BLOCKED = "raise ImportError('no torch on this board')\n"


def some_of(encoder, dense, rng, round_to):
    """Return few pieces, of every kind."""
    names = ("front_1", "block_0", "block_4", "blocks_1", "dense")
    pieces = pieces_of(encoder, dense, rng, round_to)
    return {name: pieces[name] for name in names if name in pieces}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, its options, and a folder of some of its pieces."""
    folder = tmp_path_factory.mktemp("board")
    own = write_model(folder / "exp", HYBRID)[:2]
    words = ["--runtime", "onnx_int8", "--seconds", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency_onnx, "pieces_of", some_of)
        latency.main([*own, *words, "--export", str(folder / "pieces")])
    return own, folder / "pieces"


@pytest.mark.parametrize("variant", ALL)
def test_pieces_tell_all_rows_apart(variant):
    """Whatever rows are, times that they make are found again from the pieces."""
    encoder = build(variant)
    dense = unit_graph(encoder).dense
    pieces = pieces_of(encoder, dense, random.Random(0))
    true = table_of(dense, 100, runtime="onnx")
    amounts = {name: amounts_of(one["encoder"]) for name, one in pieces.items()}
    times = {
        name: sum(true.rows[row] * n for row, n in own.items())
        for name, own in amounts.items()
    }
    same = {key: getattr(true, key) for key in ("device", "runtime", "version", "date")}
    same.update(threads=1, seconds=1.0, frames=100, params=true.params, macs=true.macs)
    same["round_to"] = 1
    widths = {n: {"widths": one["encoder"].widths()} for n, one in pieces.items()}
    table = table_of_pieces(dense, {**same, "pieces": widths, "times": times})
    assert table.error < 1e-3 and table.structures == len(pieces)
    assert set(table.rows) == {name for name, _ in named_terms(dense["encoder"])}
    other = pieces_of(encoder, dense, random.Random(1))
    for one in other.values():  # what was not measured
        kept = one["encoder"].widths()
        wanted, found = (t.timed(dense).with_widths(kept) for t in (true, table))
        assert cost(found, 100).ms == pytest.approx(cost(wanted, 100).ms, rel=0.02)


def test_pieces_at_multiples():
    """As a selection keeps them: of all units that are more than that."""
    encoder = build("latest", output_size=64, attention_heads=4, linear_units=128)
    pieces = pieces_of(encoder, unit_graph(encoder).dense, random.Random(0), 8)
    drawn = [one["encoder"] for name, one in pieces.items() if name[:5] == "front"]
    assert all(n % 8 == 0 for one in drawn for n in one.front["subsampling_channels"])
    blocks = [one["encoder"].blocks for n, one in pieces.items() if n[:6] == "block_"]
    units = {n for own in blocks for n in own["linear_units"]} - {
        4
    }  # of the narrow one
    assert all(n % 8 == 0 for n in units) and len(units) > 4
    heads = {n for own in blocks for n in own["attention_heads"]}
    assert heads == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("variant", ["wavlm", "interctc"])
def test_pieces_run(variant, monkeypatch):
    """Every kind of piece can be written and timed; conditioned taps stay."""
    monkeypatch.setattr(latency_onnx, "pieces_of", some_of)
    more = dict(num_blocks=3, interctc_use_conditioning=True)
    encoder = build(variant, **(more if variant == "interctc" else {}))
    ctc = None
    if variant == "interctc":
        from espnet2.asr.ctc import CTC
        from torch import nn

        encoder.conditioning_layer = nn.Linear(7, encoder.output_size())
        ctc = CTC(7, encoder.output_size())
    table = measure_pieces(encoder, 50, 0.5, "onnx", budget=0.0, ctc=ctc)
    dense = unit_graph(encoder).dense
    table.check(dense, 50, 1, "here", "onnx")
    assert table.here() and table.dense_ms > 0
    assert sum(table.rows.values()) > 0


def test_a_board_has_no_torch(exported, tmp_path):
    """What is exported runs with numpy and onnxruntime, and comes back as a table."""
    own, folder = exported
    block = tmp_path / "blocked"
    for name in ("torch", "espnet2", "espnet_prune", "onnx"):
        (block / name).mkdir(parents=True)
        (block / name / "__init__.py").write_text(BLOCKED, encoding="utf-8")
    run = [sys.executable, str(folder / "measure.py"), "--max_seconds", "0"]
    run += ["--output", str(tmp_path / "measured.json")]
    env = {**os.environ, "PYTHONPATH": str(block)}
    done = subprocess.run(run, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out = str(tmp_path / "latency.json")
    own = [*own, "--measured", str(tmp_path / "measured.json"), "--latency", out]
    latency.main(own)
    table = LatencyTable.load(out)
    assert (table.runtime, table.seconds, table.frames) == ("onnx_int8", 1.0, 100)
    assert table.here() and table.dense_ms > 0


def test_what_comes_back_from_a_board_may_be_wrong(exported, tmp_path):
    own, folder = exported
    with pytest.raises(UserError, match="times of pieces are missing; run measure.py"):
        read_measured(folder / "pieces.json", None)
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not what espnet-prune latency --export"):
        read_measured(tmp_path / "a.json", None)
    found = read_json(folder / "pieces.json")
    more = dict(device="board", version="1", threads=1, date="today")
    more["times"] = {name: 1.0 for name in found["pieces"]}
    write_json({**found, **more}, tmp_path / "b.json")
    other = unit_graph(build("wavlm")).dense
    with pytest.raises(UserError, match="on pieces of another encoder"):
        read_measured(tmp_path / "b.json", other)
    wide = {**HYBRID["encoder_conf"], "linear_units": 40}
    larger = write_model(tmp_path / "exp", {**HYBRID, "encoder_conf": wide})[:2]
    files = ["--measured", str(tmp_path / "b.json"), "--output_dir", str(tmp_path)]
    with pytest.raises(UserError, match="measured on an encoder of"):
        latency.main([*larger, *files])
    run = [sys.executable, str(folder / "measure.py"), "--threads", "0"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 2 and "error: --threads must be" in done.stderr


def test_tables_of_other_runtimes(exported, tmp_path):
    own, _ = exported
    with pytest.raises(UserError, match="--export goes with --runtime onnx"):
        latency.main([*own, "--export", str(tmp_path / "x")])
    table = tmp_path / "latency.json"
    dense = unit_graph(build("latest")).dense
    table_of(dense, 100, runtime="onnx").save(table)
    with pytest.raises(UserError, match="'onnx', and the budget is one of 'onnx_int8'"):
        LatencyTable.load(table).check(dense, 100, 1, str(table), "onnx_int8")


def test_a_smaller_encoder_takes_a_smaller_share(tmp_path):
    """Measured in onnxruntime: half of the blocks is about half of their time."""
    encoder = build("latest", output_size=64, linear_units=1024)
    dense = unit_graph(encoder).dense
    half = dense.with_widths({"kept_blocks": dense["encoder"].kept_blocks[:1]})
    own = dict(seconds=0.5, runtime="onnx", folder=tmp_path)
    shares = shares_of_time(encoder, half, 600, **own)
    assert shares["blocks"] == pytest.approx(0.5, abs=0.15)
    assert shares["front"] == pytest.approx(1.0, abs=0.2)
    assert shares["blocks"] < shares["encoder"] < shares["front"]
    # the dense files stay for the next: whoever puts others there is believed
    for part in ("encoder", "front"):
        shutil.copy(tmp_path / f"cut_{part}.onnx", tmp_path / f"dense_{part}.onnx")
    shares = shares_of_time(encoder, half, 600, **own)
    assert shares["encoder"] == pytest.approx(1.0, abs=0.15)


def test_int8_is_another_file(tmp_path):
    """The runtimes differ in what they write, so that a table is one of either."""
    encoder = build("latest", output_size=64, linear_units=512, num_blocks=1)
    sizes = {}
    for runtime in ("onnx", "onnx_int8"):
        path = tmp_path / f"{runtime}.onnx"
        export(encoder, path, runtime)
        call_of(path, shape_of(encoder, 100), 1)()
        sizes[runtime] = path.stat().st_size
    assert sizes["onnx_int8"] < 0.6 * sizes["onnx"]
