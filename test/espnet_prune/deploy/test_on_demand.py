# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""From a search to a depth chosen at run time, on one small model."""

import json
import logging

import pytest
import torch

from espnet_prune import Structure, cost
from espnet_prune.bin import asr_inference, cut, export, select, verify
from espnet_prune.deploy.depth_table import Depth, DepthTable, measure_depths
from espnet_prune.models import load_model
from espnet_prune.tensor_names import as_here
from espnet_prune.utils import UserError, read_json, write_json, write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_identity, make_model

N = CONFIG["encoder_conf"]["num_blocks"]
INTERCTC = {
    "encoder_conf": {
        **CONFIG["encoder_conf"],
        "interctc_layer_idx": [2],
        "interctc_use_conditioning": True,
    },
    "model_conf": {"ctc_weight": 1.0, "interctc_weight": 0.5},
}


@pytest.fixture(scope="module", params=["plain", "conditioned"])
def exp(request, tmp_path_factory):
    """An experiment whose depth table was made by backward elimination."""
    changes = INTERCTC if request.param == "conditioned" else {}
    folder = tmp_path_factory.mktemp("exp")
    model = make_model({**CONFIG, **changes})
    make_identity(model, 3)
    make_exp(folder, model, **changes)
    conf = {
        "method": "layers",
        "num_remove": 3,
        "layers_conf": {"search": "iterative", "metric": "cer", "depth_table": True},
    }
    write_yaml(conf, folder / "select.yaml")
    select.main([*options(folder, "select"), "--config", str(folder / "select.yaml")])
    return folder


def options(folder, output):
    return [
        *("--model_config", str(folder / "config.yaml")),
        *("--model_file", str(folder / "model.pth")),
        *("--output_dir", str(folder / output)),
    ]


def speech2text(folder, **more):
    from espnet_prune.deploy import OnDemandSpeech2Text

    files = str(folder / "config.yaml"), str(folder / "model.pth")
    return OnDemandSpeech2Text(*files, ctc_weight=1.0, beam_size=2, **more)


def heard(model, wave):
    """Return the best text; with intermediate CTC more comes along."""
    results = model(wave)
    results = results[0] if isinstance(results, tuple) else results
    return results[0][0]


def test_table(exp):
    table = DepthTable.load(exp / "depth_table.json", exp / "model.pth")
    assert sorted(table.depths) == [2, 3, 4, 5]
    rows = [table.depths[depth] for depth in (2, 3, 4, 5)]
    assert rows[2].kept_blocks == [1, 2, 4, 5] and rows[2].error == 0 == rows[3].error
    for less, more in zip(rows, rows[1:]):
        assert set(less.kept_blocks) < set(more.kept_blocks)
        assert less.macs < more.macs and less.ms > 0
    whole, _ = load_model(exp / "config.yaml", exp / "model.pth")
    assert rows[3].macs == cost(Structure.dense(whole.encoder), 1000).macs
    record = read_json(exp / "select" / "structure.json")["provenance"]
    # the tap needs a block before and after it: one set of the last round is no choice
    refused = int((exp / "config.yaml").read_text().count("use_conditioning: true"))
    assert record["evaluations"] == 5 + 4 + 3 - refused and len(record["removed"]) == 3
    for name in ("tried.tsv", "candidates.tsv", "images/search.png"):
        assert (exp / "select" / name).exists()
    assert (exp / "select/depth_table.json").exists()


def test_switching(exp, caplog):
    model = speech2text(exp)
    wave = torch.randn(8000)
    whole = heard(model, wave)
    encoder, weights = model.asr_model.encoder, list(model.asr_model.parameters())
    assert model.set_depth(4) == [1, 2, 4, 5] == model.blocks
    assert heard(model, wave) == whole  # block 3 does nothing
    with caplog.at_level(logging.INFO):
        assert len(model.set_budget(ms=1e9)) in (4, 5)
    table = model.depth_table
    best = min((table.at(2), table.at(3)), key=lambda entry: entry.error)
    assert model.set_budget(macs=table.at(3).macs) == best.kept_blocks
    assert model.set_depth(N) == [1, 2, 3, 4, 5]
    assert model.asr_model.encoder is encoder
    assert all(a is b for a, b in zip(weights, model.asr_model.parameters()))
    assert heard(model, wave) == whole
    for call, text in (
        (lambda: model.set_depth(1), "no depth 1; the depths are 5, 4, 3, 2"),
        (lambda: model.set_blocks([0]), "no block 0"),
        (lambda: model.set_blocks([]), "at least one"),
        (lambda: model.set_blocks([2, 6]), "no block 6"),
        (lambda: model.set_budget(macs=10), "the smallest, 2"),
        (lambda: model.set_budget(), "takes ms"),
    ):
        with pytest.raises(UserError, match=text):
            call()
    with pytest.raises(UserError, match="either"):
        speech2text(exp, depth=3, keep_blocks=[1])


def test_export_is_the_depth(exp):
    export.main([*options(exp, "small"), "--depth", "3"])
    model = speech2text(exp, depth=3)
    small, config = load_model(exp / "small/config.yaml", exp / "small/model.pth")
    assert config["encoder"] == "transformer" and not config["encoder_conf"].get(
        "structure"
    )
    assert config["encoder_conf"]["num_blocks"] == 3
    wave = torch.randn(2, 8000)
    lengths = torch.tensor([8000, 6000])
    with torch.no_grad():
        (a, _), (b, _) = (m.encode(wave, lengths) for m in (model.asr_model, small))
    a, b = (x[0] if isinstance(x, tuple) else x for x in (a, b))
    assert (a - b).abs().max() < 1e-5
    block = sum(p.numel() for p in small.encoder.encoders[0].parameters())
    whole, _ = load_model(exp / "config.yaml", exp / "model.pth")
    dense = sum(p.numel() for p in whole.parameters())
    assert dense - sum(p.numel() for p in small.parameters()) == 2 * block
    with pytest.raises(UserError, match="holds a model of another structure"):
        export.main([*options(exp, "small"), "--keep_blocks", "1-4"])
    assert (exp / "small/verify.json").exists()


def test_stock_espnet_loads_the_export(exp, monkeypatch):
    from espnet2.tasks.asr import ASRTask, encoder_choices

    export.main([*options(exp, "stock"), "--keep_blocks", "1-2,4"])
    ours = {k: v for k, v in encoder_choices.classes.items() if "pruned" not in k}
    monkeypatch.setattr(encoder_choices, "classes", ours)
    files = str(exp / "stock/config.yaml"), str(exp / "stock/model.pth")
    model, _ = ASRTask.build_model_from_file(*files)
    assert type(model.encoder).__name__ == "TransformerEncoder"
    own = model.state_dict()
    state = as_here(torch.load(files[1], weights_only=True), own.keys())
    assert all(torch.equal(v, state[k]) for k, v in own.items())


def test_cut_follows_the_selection(exp):
    select_dir = exp / "select"
    cut.main([*options(exp, "cut"), "--select_dir", str(select_dir)])
    small, _ = load_model(exp / "cut/config.yaml", exp / "cut/model.pth")
    kept = DepthTable.load(exp / "depth_table.json").at(2).kept_blocks
    assert read_json(exp / "cut/verify.json")["equal"]
    whole, _ = load_model(exp / "config.yaml", exp / "model.pth")
    for block, place in enumerate(kept):
        assert torch.equal(
            small.encoder.encoders[block].self_attn.linear_q.weight,
            whole.encoder.encoders[place - 1].self_attn.linear_q.weight,
        )


@pytest.mark.parametrize("which", [["--depth", "4"], ["--keep_blocks", "1-2,4,5"]])
def test_command_line(exp, which, tmp_path):
    config = lines_of(exp / "data/valid_wav.scp")
    (tmp_path / "keys").write_text(config[0].split()[0] + "\n")
    command = f"--asr_train_config {exp}/config.yaml --asr_model_file {exp}/model.pth "
    command += f"--output_dir {tmp_path}/out --ngpu 0 --beam_size 2 --ctc_weight 1.0 "
    command += f"--key_file {tmp_path}/keys --batch_size 1 "
    command += f"--data_path_and_name_and_type {exp}/data/valid_wav.scp,speech,sound"
    asr_inference.main([*command.split(), *which])
    text = (tmp_path / "out/1best_recog/text").read_text().split()
    labels = dict(x.split() for x in lines_of(exp / "data/valid_text"))
    assert text[0] in labels and len(text) == 2
    with pytest.raises(UserError):
        asr_inference.main([*command.split(), "--depth", "1"])
    with pytest.raises(UserError):
        asr_inference.main([*command.split(), "--keep_blocks", "1-9"])


def lines_of(path):
    return path.read_text().splitlines()


def test_other_weights(exp, tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "m.pth")
    with pytest.raises(UserError, match="other weights"):
        DepthTable.load(exp / "depth_table.json", tmp_path / "m.pth")
    write_json({"depths": []}, tmp_path / "t.json")
    with pytest.raises(UserError, match="not a depth table"):
        DepthTable.load(tmp_path / "t.json")
    entry = dict(depth=1, kept_blocks=[9], error=0.1, macs=1, ms=1.0)
    write_json({"num_blocks": 4, "depths": [entry]}, tmp_path / "t.json")
    with pytest.raises(UserError, match="no block 9"):
        DepthTable.load(tmp_path / "t.json")


def test_a_table_of_another_length_is_refused(exp):
    table = DepthTable.load(exp / "depth_table.json")
    assert table.frames == 1000
    table.frames = 1250  # as if the hop had been 128
    table.save(exp / "other.json")
    model = speech2text(exp, depth_table=exp / "other.json")
    with pytest.raises(UserError, match="measured on 1250 .* 10 s are 1000 frames"):
        model.set_budget(ms=1e9)


def test_depths_are_priced_at_the_frames_given():
    model = make_model(CONFIG)
    (row,) = measure_depths(model.encoder, {2: ([1, 4], 0.1)}, runs=1, frames=625)
    kept = {"kept_blocks": [0, 3]}
    assert row.macs == cost(Structure.dense(model.encoder).with_widths(kept), 625).macs


def test_the_proof_by_command(exp, capsys):
    words = options(exp, "x")[:4]
    verify.main([*words, "--structures", "2", "--trials", "1"])
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] and found["params_match"] and found["dtype"] == "float64"
    assert found["relative_diff"] <= found["tolerance"]


def test_budget_takes_the_most_accurate():
    rows = [Depth(n, [1, 2, 3, 4][:n], e, n, float(n)) for n, e in ((4, 0.2), (3, 0.1))]
    table = DepthTable([*rows, Depth(2, [1, 2], 0.3, 2, 2.0)], 4)
    assert table.within(ms=9).depth == 3 and table.within(macs=2).depth == 2
    assert json.dumps(str(table)).count("%") == 3
