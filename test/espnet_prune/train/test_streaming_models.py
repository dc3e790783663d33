# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Streaming models from dense to cut, by every method that runs them, and decoded."""

import contextlib

import numpy as np
import pytest
import soundfile

from espnet_prune.models import load_model
from espnet_prune.utils import read_json, write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model
from test.espnet_prune.encoder_zoo import VARIANTS
from test.espnet_prune.quick.tiny import labels, run_quick
from test.espnet_prune.train.conftest import data_options

ENCODER = {
    "encoder": "contextual_block_conformer",
    "encoder_conf": dict(VARIANTS["stream"][1], num_blocks=3),
    "normalize": None,
}
L0 = {"ramp_steps": 20, "gate_lr": 0.65, "log_interval": 2, "extra_steps": 0}
TRAIN = {"max_epoch": 1, "num_iters_per_epoch": 24, "optim": "adam", "num_workers": 0}
METHODS = {
    "l0": {
        "budget": {"kind": "macs", "sparsity": 0.4},
        "l0_conf": L0,
        "train_conf": {**TRAIN, "batch_type": "unsorted", "batch_size": 2},
        "distill_conf": {"layers": 2, "block_input": True},
    },
    "layers": {"num_remove": 1, "layers_conf": {"search": "iterative"}},
}


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streaming")
    make_exp(folder, make_model({**CONFIG, **ENCODER}), **ENCODER)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_methods_that_run_blocks(exp, tmp_path, method):
    from espnet_prune.bin import cut, select

    write_yaml({"method": method, **METHODS[method]}, tmp_path / "select.yaml")
    pair = ["--model_config", str(exp / "config.yaml")]
    pair += ["--model_file", str(exp / "model.pth")]
    out = ["--config", str(tmp_path / "select.yaml"), "--output_dir", f"{tmp_path}/s"]
    more = data_options(exp / "data") if method == "l0" else []
    select.main([*pair, *out, *more])
    to = ["--select_dir", f"{tmp_path}/s", "--output_dir", f"{tmp_path}/cut"]
    cut.main([*pair, *to, "--trials", "4", "--refresh_batches", "2"])
    assert read_json(tmp_path / "cut/verify.json")["equal"]
    small, config = load_model(tmp_path / "cut/config.yaml", tmp_path / "cut/model.pth")
    assert config["encoder"].endswith("contextual_block_conformer")
    if method == "layers":  # fewer equal blocks are ESPnet's own class
        assert not config["encoder"].startswith("pruned")
        assert [b.total_layer_num for b in small.encoder.encoders] == [2, 2]
    else:
        line = (tmp_path / "s/select.jsonl").read_text().splitlines()[-1]
        assert '"kd_layer"' in line


def test_quick_recovers_and_what_is_left_hears_a_stream(
    exp, tmp_path, capsys, monkeypatch
):
    from espnet2.bin.asr_inference_streaming import Speech2TextStreaming

    from espnet_prune.quick import recover

    cycle = recover.Cycle(2, 2, 2.0, 1e-4)
    monkeypatch.setattr(recover.Cycle, "within", lambda *_: cycle)
    data, out = exp / "data", tmp_path / "out"
    options = ["--model", str(exp), "--audio", str(data / "train_wav.scp")]
    options += ["--dev", str(data / "valid_wav.scp"), "--beam_size", "1"]
    line, _ = run_quick(out, [*options, *labels(exp), "--recover"], "60%macs", capsys)
    assert line["recovery"]["steps"] == 2
    before, after = (line[name]["gmacs"] for name in ("before", "cut"))
    assert 0.5 < after / before <= 0.6
    small = out / "cut"
    with contextlib.redirect_stdout(None):
        heard = Speech2TextStreaming(
            str(small / "config.yaml"),
            str(small / "model.pth"),
            ctc_weight=1.0,
            beam_size=3,
        )
    for i in range(3):
        speech = soundfile.read(data / f"valid{i}.wav", dtype="float32")[0]
        speech = np.concatenate([speech, speech[::-1]])  # of several chunks
        whole = heard(speech, is_final=True)[0][0]
        heard.reset()
        for start in range(0, len(speech), 3001):
            part = speech[start : start + 3001]
            found = heard(part, is_final=start + 3001 >= len(speech))
        heard.reset()
        assert found[0][0] == whole
