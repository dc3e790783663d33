# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A small model of OWSM-CTC's kind on its whole way, from the dense one to texts.

ESPnet decodes all of it, also by `espnet transcribe`, where a release has that.
"""

import importlib.util
import os
import subprocess
import sys
import zipfile

import pytest
import torch

from espnet_prune import Structure, cost
from espnet_prune.bin import asr_inference, cut, pack, select, verify
from espnet_prune.cutting.write import write_selection
from espnet_prune.deploy.on_demand import on_demand
from espnet_prune.families import unit_graph
from espnet_prune.models import encoded, load_model
from espnet_prune.select.selection import Selection
from espnet_prune.tasks import TASKS, task_of
from espnet_prune.units.blocks import set_blocks
from espnet_prune.utils import read_json, read_yaml, write_yaml
from test.espnet_prune.test_tasks import BRANCHES, make, pair
from test.espnet_prune.tones import make_data

TAPS = [1, 3]
SIZES = dict(
    num_blocks=5,
    use_cross_attention=[0, 1, 0, 1, 1],
    **dict(
        use_ffn=True,
        macaron_ffn=True,
        linear_units=12,
        interctc_layer_idx=TAPS,
        interctc_use_conditioning=True,
    ),
)
LOSSES = dict(interctc_weight=0.5, ctc_asr_only=[True, False, False])
HAS_TRANSCRIBE = importlib.util.find_spec("espnet2.bin.cli") is not None


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """Return a directory with a model, and data; its CTC says more than blanks."""
    folder = tmp_path_factory.mktemp("owsm_ctc")
    make(folder, "s2t_ctc", encoder_conf={**BRANCHES, **SIZES}, model_conf=LOSSES)
    make_data(folder / "data", train=6, valid=2)
    state = torch.load(folder / "model.pth")
    state["ctc.ctc_lo.weight"] *= 30
    torch.save(state, folder / "model.pth")
    return folder


def selected(dense, folder, conf, *words):
    write_yaml(conf, folder / "select.yaml")
    words = ["--config", str(folder / "select.yaml"), *pair(dense), *words]
    select.main([*words, "--output_dir", str(folder / "select")])
    words = [*pair(dense), "--select_dir", str(folder / "select"), "--trials", "2"]
    cut.main([*words, "--output_dir", str(folder / "cut")])
    assert read_json(folder / "cut/verify.json")["equal"]
    return folder / "cut"


def texts(folder, data, out, *more):
    """Return what ESPnet's own decoding hears, through our command."""
    words = ["--ngpu", "0", "--beam_size", "2", "--output_dir", str(out), *more]
    words += ["--s2t_train_config", str(folder / "config.yaml")]
    words += ["--s2t_model_file", str(folder / "model.pth")]
    words += ["--data_path_and_name_and_type", f"{data}/valid_wav.scp,speech,sound"]
    asr_inference.main(["--task", "s2t_ctc", *words])
    return (out / "1best_recog/token").read_text()


@pytest.mark.parametrize(
    "conf",
    [
        {"method": "obs", "obs_conf": {"num_utts": 4, "powers": [0.0]}},
        {"method": "layers", "layers_conf": {"search": "truncate"}, "num_remove": 1},
    ],
    ids=lambda conf: conf["method"],
)
def test_it_is_selected_cut_and_decoded(dense, conf, tmp_path):
    words, own = [], dict(conf)
    if conf["method"] == "obs":
        own["budget"] = {"kind": "macs", "sparsity": 0.4}
        (tmp_path / "speech").mkdir()
        lines = (dense / "data/train_wav.scp").read_text()
        (tmp_path / "speech/wav.scp").write_text(lines)
        words = ["--calibration", str(tmp_path / "speech")]
    small = selected(dense, tmp_path, own, *words)
    model, config = load_model(small / "config.yaml", small / "model.pth")
    before, _ = load_model(dense / "config.yaml", dense / "model.pth")
    assert cost(model).params == sum(p.numel() for p in model.parameters())
    assert cost(model).params < cost(before).params
    assert task_of(config) is TASKS["s2t_ctc"]
    assert model.encoder.interctc_layer_idx == TAPS
    if conf["method"] == "layers":  # ESPnet knows it as it is
        assert config["encoder"] == "e_branchformer_ctc"
        assert config["encoder_conf"]["use_cross_attention"] == [0, 1, 0, 1]
    heard = texts(small, dense / "data", tmp_path / "out")
    assert heard.count("\n") == 2 and heard != texts(
        dense, dense / "data", tmp_path / "dense"
    )


def test_a_cut_of_nothing_says_the_same(dense, tmp_path):
    wanted = texts(dense, dense / "data", tmp_path / "dense")
    assert len(wanted.split()) > 6
    model, config = load_model(dense / "config.yaml", dense / "model.pth")
    selection = Selection(unit_graph(model.encoder), {}, record={})
    write_selection(selection, model, config, tmp_path / "same", trials=1)
    assert read_yaml(tmp_path / "same/config.yaml")["encoder"] == "e_branchformer_ctc"
    assert texts(tmp_path / "same", dense / "data", tmp_path / "out") == wanted
    # and our class at the same sizes
    config["encoder"] = "pruned_e_branchformer_ctc"
    config["encoder_conf"]["structure"] = Structure.dense(model.encoder).widths()
    write_yaml(config, tmp_path / "same/config.yaml")
    assert texts(tmp_path / "same", dense / "data", tmp_path / "ours") == wanted


def test_depth_is_chosen_while_it_decodes(dense, tmp_path):
    """By blocks that run; and by ESPnet's own `max_layer`, which they leave alone."""
    every, some = (
        texts(dense, dense / "data", tmp_path / name, "--keep_blocks", blocks)
        for name, blocks in (("all", "1-5"), ("some", "1-3,5"))
    )
    assert every == texts(dense, dense / "data", tmp_path / "dense") != some
    heard = on_demand(TASKS["s2t_ctc"])(
        dense / "config.yaml", dense / "model.pth", keep_blocks=[1, 2, 3, 5]
    )
    model, batch = heard._model, {"speech": torch.randn(1, 9000)}
    batch["speech_lengths"] = torch.tensor([9000])
    few = encoded(model, batch)[0]
    heard.set_blocks(range(1, 6))
    assert not torch.allclose(encoded(model, batch)[0][0], few[0])
    set_blocks(model.encoder, list(model.encoder.encoders), [0, 1, 2, 4])
    assert torch.equal(encoded(model, batch)[0][0], few[0])


def test_its_archive_is_of_its_task(dense, tmp_path):
    small = selected(
        dense, tmp_path, {"method": "magnitude", "budget": {"sparsity": 0.3}}
    )
    verify.main([*pair(small), "--structures", "1", "--trials", "1"])
    config = read_yaml(small / "config.yaml")
    config["preprocessor_conf"]["speech_length"] = 12  # windows of a recording overlap
    write_yaml(config, small / "config.yaml")
    archive = tmp_path / "model.zip"
    pack.main(
        ["--exp_dir", str(small), "--model", "model.pth", "--output", str(archive)]
    )
    with zipfile.ZipFile(archive) as content:
        names = content.read("meta.yaml").decode()
        card = content.read("README.md").decode()
    assert "s2t_model_file: exp/cut/model.pth" in names
    assert "from espnet2.bin.s2t_inference_ctc import Speech2Text\n" in card
    if not HAS_TRANSCRIBE:
        pytest.skip("this release has no `espnet transcribe`; install ESPnet 202611")
    words = ["-m", "espnet_prune.with_registry", "-m", "espnet2.bin.cli", "transcribe"]
    words += ["--model", str(archive), str(dense / "data/valid0.wav")]
    home = {**os.environ, "HOME": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, *part], capture_output=True, text=True, env=home
        )
        for part in (words, words[2:])
    ]
    assert said[0].returncode == 0 and said[0].stdout.strip(), said[0].stderr
    # ESPnet alone does not know its encoder
    assert said[1].returncode != 0 and "pruned_e_branchformer_ctc" in said[1].stderr
