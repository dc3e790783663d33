# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

import re
import shutil
from pathlib import Path

import pytest

from espnet_prune.bin import compare
from espnet_prune.report.compare import conf, configs, depth, rows
from espnet_prune.report.compare.plan import DRAWS, make_plan
from espnet_prune.report.compare.tables import read_rows
from espnet_prune.utils import UserError, read_yaml, write_json, write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model

RECIPE = Path(__file__).parents[2] / "egs2" / "an4" / "asr_prune1"
YAML = "conf/compare_depth_transformer.yaml"
MODEL = "valid.cer_ctc.ave.pth"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(RECIPE / "conf")
    Path("prune.sh").touch()
    return tmp_path


def test_plan():
    """Every job waits for the model that it starts from."""
    c = conf.read(YAML, {"seeds": [0], "expdir": "exp"}, [])
    plan = make_plan(c)
    needs = {name: job.needs for name, job in plan.jobs.items()}
    assert needs == {
        "data": (),
        "ondemand_s0": ("data",),
        "plain_s0": ("data",),
        "table_s0": ("ondemand_s0",),
        **{f"separate_{depth}_s0": ("data",) for depth in (8, 6, 4)},
        "comflp_6_s0": ("plain_s0",),
    }
    for name in ("table_s0", "comflp_6_s0"):
        job = plan.jobs[name]
        start = job.options[job.options.index("--dense_exp") + 1]
        assert start == f"exp/{needs[name][0]}"
    assert read_yaml("exp/conf/comflp_6.yaml")["num_remove"] == 6
    assert read_yaml("exp/conf/recover_comflp.yaml") == read_yaml(
        "conf/recover_ctc.yaml"
    )
    own = read_yaml("exp/conf/separate_4.yaml")["encoder_conf"]
    assert own["num_blocks"] == 4 and own["interctc_layer_idx"] == [1, 2, 3]
    full = read_yaml("conf/train_transformer_ctc_interctc_sd.yaml")
    assert configs.shallow(full, 12) == full
    assert configs.shallow(full, 3)["encoder_conf"]["interctc_layer_idx"] == [1, 2]
    points = [point.row.name for point in plan.points]
    assert points.count("random") == 4 * DRAWS and points.count("truncate") == 4


def test_a_model_has_a_table_of_its_own():
    read = {"seeds": [0], "expdir": "exp"}
    c = conf.read("conf/compare_depth_conformer.yaml", read, [])
    plan = make_plan(c)
    points = {point.name: point for point in plan.points}
    own = plan.jobs["table_nested_s0"]
    assert own.needs == ("nested_s0",)
    assert own.options[own.options.index("--prune_config") + 1].endswith("_nested.yaml")
    assert points["nested_6_s0"].needs == ("nested_s0", "table_nested_s0")
    assert points["plain_6_s0"].needs == ("plain_s0", "table_s0")
    for name, kept in (("nested", [1, 2]), ("ondemand", [1, 3])):
        folder = Path("exp", f"{name}_s0")
        folder.mkdir(parents=True)
        depths = [{"depth": 6, "kept_blocks": kept}]
        write_json({"num_blocks": 12, "depths": depths}, folder / "depth_table.json")
    assert depth.blocks_of(c, points["nested_6_s0"], 12) == [1, 2]
    assert depth.blocks_of(c, points["plain_6_s0"], 12) == [1, 3]
    # one training serves all depths, and its effort is that of each
    Path("exp/log").mkdir()
    Path("exp/log/nested_s0.minutes").write_text("55.0")
    assert rows.core_minutes(c, points["nested_6_s0"]) == 55.0
    data = read_yaml("conf/compare_depth_conformer.yaml")
    data["rows"]["nested"]["of"] = "ondemand"
    with pytest.raises(UserError, match="nested: select: ondemand has a depth table"):
        make_plan(conf.make({**data, **read}, "depth.yaml", "depth"))


def test_models_differ_in_their_training_for_depth_alone():
    plain, nested, ondemand = (
        read_yaml(f"conf/train_conformer_ctc{kind}.yaml")
        for kind in ("", "_nested", "_interctc_sd")
    )
    assert nested.pop("depth_conf")["min_depth"] == 4 and nested == plain
    for key in ("encoder_conf", "model_conf"):
        own = ("interctc", "stochastic")
        for each in (plain, ondemand):
            each[key] = {k: v for k, v in each[key].items() if not k.startswith(own)}
    assert ondemand.pop("encoder") == f"pruned_{plain.pop('encoder')}"
    assert ondemand == plain


def test_depths_are_decoded_and_compared(tmp_path, capsys):
    number = CONFIG["encoder_conf"]["num_blocks"]
    source = tmp_path / "exp" / "ondemand_s0"
    make_exp(source, make_model(CONFIG))
    for name in ("dev", "test"):
        folder = tmp_path / "dump" / "raw" / name
        folder.mkdir(parents=True)
        for file in ("wav.scp", "text"):
            shutil.copy(source / "data" / f"valid_{file}", folder / file)
    shutil.move(source / "model.pth", source / MODEL)
    config = read_yaml(source / "config.yaml")
    depths = [{"depth": n, "kept_blocks": k} for n, k in ((5, [1, 2, 3, 4, 5]),)]
    depths.append({"depth": 3, "kept_blocks": [1, 3, 5]})
    write_json({"num_blocks": number, "depths": depths}, source / "depth_table.json")
    for name in ("plain_s0", "separate_3_s0"):
        (tmp_path / "exp" / name).mkdir()
        write_yaml(config, tmp_path / "exp" / name / "config.yaml")
        shutil.copy(source / MODEL, tmp_path / "exp" / name / MODEL)
    data = read_yaml(YAML)
    for row in data["rows"].values():
        row["sizes"] = [5, 3] if row.get("blocks") == "table" else [3]
    write_yaml({**data, "seeds": [0], "expdir": "exp"}, "depth.yaml")
    compare.main(["depth.yaml", "--only_table"])
    text = capsys.readouterr().out
    lines = read_rows(Path("results/exp"))
    rate = {
        (line["name"], line["depth"]): line["scores"]["cer"]["dev+test"]["rate"]
        for line in lines
    }
    assert set(rate) == {
        ("ondemand", 5),
        ("plain", 5),
        ("separate", 3),  # here a copy of the whole model
        *((name, 3) for name in ("ondemand", "plain", "truncate", "random")),
    }
    # the labels are what the whole model hears
    assert rate["ondemand", 5] == rate["plain", 5] == rate["separate", 3] == 0
    assert rate["ondemand", 3] == rate["plain", 3] > 0
    runs = {(line["name"], line["depth"]): len(line["runs"]) for line in lines}
    assert runs["random", 3] == DRAWS and runs["truncate", 3] == 1
    assert re.search(r"\| *3 *\| *random *\| *5 *\|", text)
    assert Path("exp/images/wer_by_depth.png").stat().st_size > 1000
    # nothing is decoded twice
    (source / "config.yaml").write_text("broken")
    compare.main(["depth.yaml", "--only_table"])
