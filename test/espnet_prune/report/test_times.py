# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Times of a comparison: real models, in torch and in onnxruntime."""

from pathlib import Path

from espnet_prune.report.compare.times import measure_times, shape_key
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
