# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every selector works on encoders of raw speech, and so do the commands."""

import json

import pytest
import torch

from espnet_prune import cost
from espnet_prune.models import build_model, load_model
from espnet_prune.utils import read_json, read_yaml, write_yaml
from test.espnet_prune.deep import CONFIG
from test.espnet_prune.encoder_zoo import SPEECH, build_speech, randomise
from test.espnet_prune.select.families import (
    check_projection_and_magnitude,
    train_and_cut,
)

LAYERS = [[24, 10, 5], [24, 8, 8], [24, 8, 8]]
RAW = dict(frontend=None, frontend_conf={}, input_size=1, normalize=None)


def larger(variant):
    return build_speech(variant, conv_layers=LAYERS, linear_units=64)


@pytest.mark.parametrize("variant", ["base", "wavlm_large"])
@pytest.mark.parametrize("kind,tolerance", [("params", 0.01), ("macs", 0.04)])
def test_projection_and_magnitude_meet_the_budget(variant, kind, tolerance):
    check_projection_and_magnitude(larger(variant), kind, tolerance)


@pytest.mark.parametrize("variant", ["large", "wavlm"])
def test_gates(variant):
    encoder = larger(variant)
    wave, lengths = torch.randn(2, 7000), torch.tensor([7000, 6000])
    small, expected, got = train_and_cut(
        encoder, wave, lengths, "wave_channel", steps=100, ramp_steps=70
    )
    with torch.no_grad():
        frames = small(wave, lengths)[1].tolist()
    for row, length in enumerate(frames):
        assert torch.allclose(expected[row, :length], got[row, :length], atol=1e-5)


@pytest.mark.parametrize("variant", ["large", "wavlm"])
def test_commands(variant, tmp_path, capsys):
    """select by magnitude, cut, verify, cost: from a directory, with weights gone."""
    from espnet_prune.bin import cost as cost_command
    from espnet_prune.bin import cut as cut_command
    from espnet_prune.bin import select, verify

    conf = dict(SPEECH[variant], conv_layers=LAYERS, weights="gone")
    config = {**CONFIG, **RAW, "encoder": "pruned_wav2vec2", "encoder_conf": conf}
    torch.manual_seed(0)
    model = build_model(config)
    randomise(model.encoder)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    write_yaml(config, tmp_path / "config.yaml")
    write_yaml(
        {"method": "magnitude", "budget": {"kind": "macs", "sparsity": 0.5}},
        tmp_path / "select.yaml",
    )
    dense = ["--model_config", str(tmp_path / "config.yaml")]
    both = [*dense, "--model_file", str(tmp_path / "model.pth")]
    chosen, small = str(tmp_path / "select"), tmp_path / "cut"
    select.main(
        [*both, "--config", str(tmp_path / "select.yaml"), "--output_dir", chosen]
    )
    cut_command.main(
        [*both, "--select_dir", chosen, "--output_dir", str(small), "--trials", "3"]
    )
    written = read_yaml(small / "config.yaml")["encoder_conf"]
    assert "weights" not in written
    assert ("remaining_heads" in written["structure"]) == (variant == "wavlm")
    assert read_json(small / "verify.json")["max_abs_diff"] <= 1e-5
    loaded, _ = load_model(small / "config.yaml", small / "model.pth")
    assert (
        cost(loaded.encoder).params == read_json(small / "cost.json")["encoder_params"]
    )
    with torch.no_grad():
        wave, lengths = torch.randn(1, 8000), torch.tensor([8000])
        assert loaded.encode(wave, lengths)[0].shape == (1, 24, 16)
    cut_pair = ["--model_config", str(small / "config.yaml")]
    cut_pair += ["--model_file", str(small / "model.pth")]
    capsys.readouterr()
    verify.main([*cut_pair, "--structures", "2", "--trials", "1", "--keep", "0.8"])
    assert json.loads(capsys.readouterr().out)["params_match"]
    cost_command.main([*dense, "--frames", "100", "--json"])
    kinds = json.loads(capsys.readouterr().out)["lengths"][0]["kinds"]
    assert {"wave_channel", "head", "ffn_unit"} <= {row["kind"] for row in kinds}
