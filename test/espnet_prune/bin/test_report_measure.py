# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import pytest

from espnet_prune import cost
from espnet_prune.models import load_model
from espnet_prune.report.results import Entry, compression_table, measure
from espnet_prune.utils import UserError
from test.espnet_prune.deep import HYBRID, write_model

CONFIG = {
    **HYBRID,
    "input_size": 20,
    "frontend": None,
    "normalize": None,
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 64,
        "num_blocks": 2,
    },
}


def make(folder, config=CONFIG, **widths):
    """An experiment directory with random weights."""
    config = dict(config, encoder_conf={**config["encoder_conf"], **widths})
    write_model(folder, config)
    paths = (folder / "config.yaml", folder / "model.pth", folder / "decode")
    return Entry(folder.name, *paths)


def test_measure(tmp_path):
    rows = [make(tmp_path / "dense"), make(tmp_path / "small", linear_units=16)]
    dense, small = measure(rows, frames=100, runs=2)
    saved = 2 * 48 * (8 + 1 + 8)  # weights and biases of the units that are gone
    assert dense["encoder_params"] - small["encoder_params"] == saved
    assert dense["total_params"] - small["total_params"] == saved
    steps = 24  # frames after the subsampling
    saved = 2 * 48 * 2 * 8 * steps / 1e9
    assert dense["gmacs"] - small["gmacs"] == pytest.approx(saved)
    others = dense["total_params"] - dense["encoder_params"]
    found = {name: dense["parts"][name]["params"] for name in ("decoder", "others")}
    assert sum(found.values()) == others and found["decoder"] > 0
    assert dense["bytes"] == (tmp_path / "dense" / "model.pth").stat().st_size
    assert small["structure"]["linear_units"] == [16, 16]
    assert dense["latency"]["min_ratio"] == 1.0 and small["latency"]["min_ms"] > 0
    table = compression_table([{**dense, "scores": {}}, {**small, "scores": {}}], 1)
    assert "GMACs 1 s" in table

    mixed = rows[1]._replace(model=rows[0].model)
    with pytest.raises(UserError, match="has another shape for encoder"):
        measure([rows[0], mixed], frames=100, runs=1)


def test_ten_seconds_are_those_of_each_model(tmp_path, monkeypatch):
    rows = []
    for hop in (128, 256):
        conf = {"n_fft": 512, "n_mels": 20, "hop_length": hop}
        config = {**CONFIG, "input_size": None, "frontend": "default"}
        rows.append(make(tmp_path / str(hop), {**config, "frontend_conf": conf}))
    encoder, lengths = load_model(rows[0].config, rows[0].model)[0].encoder, []
    forward = type(encoder).forward

    def watched(self, x, *args, **kwargs):
        lengths.append(x.shape[1])
        return forward(self, x, *args, **kwargs)

    monkeypatch.setattr(type(encoder), "forward", watched)
    found = measure(rows, runs=1)
    assert [row["frames"] for row in found] == [1250, 625]
    assert set(lengths) == {1250, 625}
    for row in found:
        assert row["gmacs"] == cost(encoder, row["frames"]).macs / 1e9
