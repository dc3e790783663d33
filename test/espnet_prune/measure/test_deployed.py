# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Rows of a deployed model beside torch: size, times, memory."""

import os
import shutil

import numpy as np
import pytest

from espnet_prune import UserError
from espnet_prune.bin import cost
from espnet_prune.deploy.onnx.describe import write_tokens
from espnet_prune.measure import deployed as module
from espnet_prune.measure.deployed import Model, deployed_model, measure_deployed
from espnet_prune.report.deployed import deployed, deployed_table
from espnet_prune.utils import read_json, write_json
from test.espnet_prune.deep import HYBRID
from test.espnet_prune.deploy.proof import models


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A deployed model with a decoder, whose encoder is there in int8, too."""
    folder = tmp_path_factory.mktemp("deployed")
    out, _, config, source = models.deployed(folder, HYBRID)
    write_tokens(config, out)
    shutil.copy(out / "model.onnx", out / "model.int8.onnx")
    found = read_json(out / "config.json")
    found["files"]["model"]["int8"] = "model.int8.onnx"
    found["decoding"].update(beam_size=2, maxlenratio=-3.0)
    write_json(found, out / "config.json")
    write_json({"source": source}, out / "deploy.json")
    return Model(source["config"], source["checkpoint"], str(out))


def test_rows_of_all_runtimes(model):
    found = measure_deployed(model, threads=(1, 2), runs=2, memory=False)
    rows = {(row["runtime"], row["threads"]): row for row in found["rows"]}
    assert list(rows) == [
        (r, n) for n in (1, 2) for r in ("torch", "onnx", "onnx_int8")
    ]
    for row in rows.values():
        assert min(row[what] for what in ("encoder", "ctc", "whole")) > 0
        assert row["rtf"] == pytest.approx(row["whole"] / 1000 / found["seconds"])
        assert row["peak_mb"] is None
    checkpoint = os.path.getsize(model.checkpoint)
    assert rows["torch", 1]["bytes"] == checkpoint
    names = ("model.onnx", "decoder.onnx", "memory.onnx")
    size = sum(os.path.getsize(f"{model.folder}/{name}") for name in names)
    assert rows["onnx", 1]["bytes"] == rows["onnx_int8", 2]["bytes"] == size
    assert found["decoding"] == "attention" and found["options"]["beam_size"] == 2
    text = deployed_table(found)
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 8
    assert "| onnx_int8 |       2 |" in text and "beam_size 2" in text


def test_slower_is_told(model, monkeypatch):
    """What takes longer in one runtime is seen in its rows alone."""
    stock = module._onnx_calls

    def slower(folder, runtime, *more):
        calls = stock(folder, runtime, *more)
        if runtime != "onnx_int8":
            return calls
        return {
            name: lambda c=call: [c() for _ in range(6)] for name, call in calls.items()
        }

    monkeypatch.setattr(module, "_onnx_calls", slower)
    found = measure_deployed(model, threads=(1,), runs=3, memory=False)
    _, full, small = found["rows"]
    assert small["encoder"] > 3 * full["encoder"] and small["ctc"] > 3 * full["ctc"]


def test_memory_is_that_of_a_process_of_its_own(model):
    """It imports no torch, and what this process has is not counted."""
    held = np.ones(60_000_000)  # 480 MB
    peak = module._peak(model, "onnx", 1, np.zeros(16000, np.float32), {})
    assert 20 < peak < 300 and held[0] == 1
    broken = model._replace(folder="/nowhere")
    with pytest.raises(UserError, match="a process that recognises by onnx failed"):
        module._peak(broken, "onnx", 1, np.zeros(16000, np.float32), {})


def test_the_command(model, monkeypatch, capsys):
    quick = {"threads": (1,), "runs": 1, "memory": False}
    monkeypatch.setattr(
        module, "measure_deployed", lambda one: measure_deployed(one, **quick)
    )
    cost.main(["--deployed", model.folder])
    assert "| torch " in capsys.readouterr().out
    files = ["--model_config", model.config]
    with pytest.raises(UserError, match="give both --model_config and --model_file"):
        cost.main(["--deployed", model.folder, *files])


def test_what_is_not_there(model, tmp_path, caplog):
    assert deployed(tmp_path) is None
    write_json({"source": {"config": "gone.yaml"}}, tmp_path / "deploy.json")
    with pytest.raises(UserError, match="gone.yaml, is not there; deploy"):
        deployed_model(tmp_path)
    assert deployed(tmp_path) is None and "is not measured" in caplog.text
    assert deployed_model(model.folder) == model
