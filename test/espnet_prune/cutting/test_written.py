# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What `cut` writes: proven on disk, with batch norm statistics that were judged."""

import pytest
import torch

from espnet_prune import UserError
from espnet_prune.bin import check_model, cut, select
from espnet_prune.cutting import batch_norm, write
from espnet_prune.models import load_model
from espnet_prune.utils import read_json, sha256, write_yaml
from test.espnet_prune.deep import CONFIG, make_exp, make_model

CONFORMER = {
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 24,
        "num_blocks": 3,
        "macaron_style": True,
        "rel_pos_type": "latest",
        "cnn_module_kernel": 7,
    },
}
FILES = ("config.yaml", "model.pth")
KEEP = ["--trials", "2", "--refresh_batches", "0"]


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """A Conformer, and a selection of its units.

    Its config.yaml lacks what ESPnet has added since, as those of old models do.
    """
    folder = tmp_path_factory.mktemp("exp")
    make_exp(folder, make_model({**CONFIG, **CONFORMER}), **CONFORMER)
    conf = {"method": "magnitude", "budget": {"sparsity": 0.3}}
    write_yaml(conf, folder / "select.yaml")
    options = [*files(folder), "--config", str(folder / "select.yaml")]
    select.main([*options, "--output_dir", str(folder / "select")])
    return folder


def files(folder, config="config.yaml"):
    pair = ("--model_config", folder / config), ("--model_file", folder / "model.pth")
    return [str(word) for words in pair for word in words]


def run(exp, output, *more, config="config.yaml"):
    options = [*files(exp, config), "--select_dir", str(exp / "select"), *more]
    cut.main([*options, "--output_dir", str(output)])
    return read_json(output / "verify.json")


def norms(folder):
    model, _ = load_model(folder / "config.yaml", folder / "model.pth")
    return model, {k: v for k, v in model.encoder.named_buffers() if "running" in k}


def test_the_proof_is_about_the_file(exp, tmp_path, monkeypatch):
    report = run(exp, tmp_path / "cut", *KEEP)
    assert report["file"] == "model.pth" and report["equal"]
    assert report["sha256"] == sha256(tmp_path / "cut/model.pth")
    assert report["relative_diff"] <= report["tolerance"] == 1e-6
    names = {p.name for p in (tmp_path / "cut").iterdir()}
    wanted = {f"{n}.json" for n in ("cost", "structure", "verify")}
    assert names == {"model.pth", "config.yaml", *wanted}

    def save(model, path):
        state, name = model.state_dict(), "encoder.after_norm.bias"
        torch.save({**state, name: state[name] + 0.01}, path)

    monkeypatch.setattr(write, "save_model", save)
    with pytest.raises(UserError, match="differ by .* nothing was written"):
        run(exp, tmp_path / "other", *KEEP)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "losses, better",
    [((2.0, 1.5), True), ((1.5, 2.0), False), ((float("inf"),) * 2, False)],
)
def test_statistics_stay_unless_they_help(exp, tmp_path, monkeypatch, losses, better):
    _, before = norms(exp)
    given = iter(losses)
    monkeypatch.setattr(batch_norm.DevLoss, "__call__", lambda *args: next(given))
    report = run(exp, tmp_path / "cut", "--trials", "2")
    record = report["batch_norm"]
    assert report["equal"] and record["refreshed"] == better
    assert (report["refreshed_batches"] > 0) == better and record["utterances"] == 8
    assert (record["dev_loss_before"], record["dev_loss_after"]) == losses
    _, after = norms(tmp_path / "cut")
    fresh = [bool((v == v.round()).all()) for v in after.values()]
    assert set(before) == set(after) and fresh == [not better] * len(fresh)


def test_real_losses_decide(exp, tmp_path):
    record = run(exp, tmp_path / "a", "--trials", "1")["batch_norm"]
    assert record["dev_utterances"] == 6 and record["dev_loss_before"] > 0
    worse = record["dev_loss_after"] > record["dev_loss_before"]
    assert record["refreshed"] != worse
    again = run(exp, tmp_path / "b", "--trials", "1")["batch_norm"]
    assert again == record
    model, config = load_model(*[exp / name for name in FILES])
    decoder = model.error_calculator
    assert batch_norm.DevLoss(config)(model) > 0 and model.error_calculator is decoder


@pytest.mark.parametrize("part", ["train", "valid"])
def test_without_data_the_statistics_stay(exp, tmp_path, caplog, part):
    config = load_model(*[exp / n for n in FILES])[1]
    name = f"{part}_data_path_and_name_and_type"
    lost = [["lost.scp", *entry[1:]] for entry in config[name]]
    for number, entries in enumerate(([], lost)):
        config[name] = entries
        write_yaml(config, exp / f"{part}.yaml")
        output = tmp_path / str(number)
        report = run(exp, output, "--trials", "1", config=f"{part}.yaml")
        assert report["equal"] and not report["batch_norm"]["refreshed"]
        assert "Batch norm statistics kept: " in caplog.text
    assert "lost.scp" in report["batch_norm"]["why"]


def test_statistics_are_those_of_utterances_alone(exp):
    model, config = load_model(*[exp / n for n in FILES])
    entries = batch_norm.speech_entries(None, config, "config.yaml")
    batches = list(batch_norm.Utterances(entries, config, 5, 1, 0))
    assert len({b["speech"].size(1) for _, b in batches}) > 1
    assert batch_norm.refresh(model, batches) == 5
    seen = {norm: [] for norm in batch_norm.batch_norms(model)}
    for norm, inputs in seen.items():
        norm.register_forward_pre_hook(lambda m, x, i=inputs: i.append(x[0][0].T))
    with torch.no_grad():
        for _, batch in batches:
            model.encode(batch["speech"], batch["speech_lengths"])
    with pytest.raises(UserError, match="no training utterance is long enough"):
        batch_norm.refresh(model, [])
    assert len(seen) == 3
    for norm, inputs in seen.items():
        frames = torch.cat(inputs)
        assert torch.allclose(norm.running_mean, frames.mean(0), atol=1e-5)
        assert torch.allclose(norm.running_var, frames.var(0), rtol=1e-4)
        assert norm.momentum == 0.1 and not norm.training


def test_weights_that_are_not_finite_are_named(exp, tmp_path):
    state, name = torch.load(exp / "model.pth"), "encoder.encoders.1.feed_forward.w_1"
    state[f"{name}.weight"][3, 4] = float("nan")
    torch.save(state, tmp_path / "model.pth")
    torch.save(state, tmp_path / "weights.pth")
    text = f"1 of 384 values of {name}.weight are not finite"
    with pytest.raises(UserError, match=f"model.pth: {text}"):
        check_model.main([*files(exp)[:2], *files(tmp_path)[2:]])
    for path in (exp / "select").iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    options = [*files(exp), "--select_dir", str(tmp_path)]
    with pytest.raises(UserError, match=f"weights.pth: {text}"):
        cut.main([*options, "--output_dir", str(tmp_path / "cut")])
    assert not (tmp_path / "cut").exists()
