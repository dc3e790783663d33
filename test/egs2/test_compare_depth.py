# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import importlib
import json
import re
import shutil
from pathlib import Path

import pytest

from espnet_prune.utils import read_yaml, write_json, write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model

RECIPE = Path(__file__).parents[2] / "egs2" / "an4" / "asr_prune1"


@pytest.fixture
def module(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(RECIPE / "local"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(RECIPE / "conf")
    return importlib.import_module("compare_depth")


def arguments(module, *more):
    words = "--expdir exp --dumpdir dump --depths 5 3 --separate 3 --recover 3"
    return module.get_parser().parse_args([*words.split(), *more])


def test_plan(module):
    args = arguments(module, "--families", "transformer", "conformer", "--seeds", "0")
    jobs = module.plan(args)
    names = [job.name for job in jobs]
    assert names[:2] == ["ondemand_transformer_s0", "plain_transformer_s0"]
    assert set(names[4:]) == {
        f"{kind}_{family}_s0"
        for kind in ("table", "separate3", "comflp3")
        for family in ("transformer", "conformer")
    }
    # every job waits for the model that it starts from
    dense = {str(job.exp): job.seed for job in jobs if job.method == "dense"}
    assert len(set(dense.values())) == 4
    for job in jobs:
        if job.method in ("table", "comflp"):
            start = job.options[job.options.index("--dense_exp") + 1]
            assert dense[start] == job.seed
    conf = read_yaml("exp/conf/transformer_3.yaml")["encoder_conf"]
    assert conf["num_blocks"] == 3 and conf["interctc_layer_idx"] == [1, 2]
    full = read_yaml("conf/train_transformer_ctc_interctc_sd.yaml")
    assert module.shallow(full, 12) == full


def test_depths_are_decoded_and_compared(module, tmp_path, capsys):
    number = CONFIG["encoder_conf"]["num_blocks"]
    model = make_model(CONFIG)
    exp = tmp_path / "exp"
    make_exp(exp / "ondemand_transformer_s0", model)
    data = exp / "ondemand_transformer_s0" / "data"
    for name in ("dev", "test"):
        folder = tmp_path / "dump" / "raw" / name
        folder.mkdir(parents=True)
        for file in ("wav.scp", "text"):
            shutil.copy(data / f"valid_{file}", folder / file)
    source = exp / "ondemand_transformer_s0"
    shutil.move(source / "model.pth", source / module.MODEL)
    config = read_yaml(source / "config.yaml")
    depths = [{"depth": n, "kept_blocks": k} for n, k in ((5, [1, 2, 3, 4, 5]),)]
    depths.append({"depth": 3, "kept_blocks": [1, 3, 5]})
    write_json({"num_blocks": number, "depths": depths}, source / "depth_table.json")
    for name in ("plain_transformer_s0", "separate3_transformer_s0"):
        (exp / name).mkdir()
        write_yaml(config, exp / name / "config.yaml")
        shutil.copy(source / module.MODEL, exp / name / module.MODEL)
    words = "--expdir exp --depths 5 3 --separate 3 --recover 3 --bootstrap 50"
    module.main([*words.split(), "--only_table", "true"])
    text = capsys.readouterr().out
    rows = json.loads((exp / "depth.json").read_text())["transformer"]
    rate = {
        (row["method"], row["depth"]): row["scores"]["cer"]["dev+test"]["rate"]
        for row in rows
    }
    assert set(rate) == {
        ("ondemand", 5),
        ("plain", 5),
        ("separate", 3),  # here a copy of the whole model
        *((method, 3) for method in ("ondemand", "plain", "truncate", "random")),
    }
    # the labels are what the whole model hears
    assert rate["ondemand", 5] == rate["plain", 5] == rate["separate", 3] == 0
    assert rate["ondemand", 3] == rate["plain", 3] > 0
    runs = {(row["method"], row["depth"]): len(row["seeds"]) for row in rows}
    assert runs["random", 3] == module.DRAWS and runs["truncate", 3] == 1
    assert re.search(r"\| *3 *\| *random *\| *5 *\|", text)
    assert (exp / "depth_transformer.png").exists()
    # nothing is decoded twice
    (exp / "ondemand_transformer_s0" / "config.yaml").write_text("broken")
    module.main([*words.split(), "--only_table", "true"])
