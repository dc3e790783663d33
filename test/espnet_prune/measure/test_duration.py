# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""10 s are 10 s, whatever the frontend makes of them."""

import pytest
import torch

from espnet_prune import Structure, UserError, cost
from espnet_prune.bin import cost as cost_command
from espnet_prune.bin import select
from espnet_prune.measure.cost import costs
from espnet_prune.measure.duration import frames_of, rate_of
from espnet_prune.models import build_model, with_defaults
from espnet_prune.report.results import seconds_of
from espnet_prune.select.budget import Budget, with_frames
from espnet_prune.utils import read_json, write_yaml
from test.espnet_prune.deep import CONFIG, write_model


def config_of(**conf):
    own = {"frontend_conf": {"n_fft": 512, "n_mels": 20, **conf}}
    if conf.get("hop_length", 0) is None:
        del own["frontend_conf"]["hop_length"]
    return {**CONFIG, **own}


@pytest.mark.parametrize(
    "conf, frames",
    [
        ({"hop_length": None}, 1250),  # ESPnet's default is 128
        ({"hop_length": 160}, 1000),
        ({"hop_length": 256}, 625),
        ({"hop_length": 80, "fs": "8k"}, 1000),
        ({"hop_length": 128, "fs": 8000}, 625),
    ],
)
def test_frames_are_those_of_the_frontend(conf, frames):
    config = config_of(**conf)
    assert frames_of(config) == frames and frames_of(config, 30) == 3 * frames
    rate = rate_of(config)
    assert rate == (8000 if "fs" in conf else 16000)
    speech, lengths = torch.zeros(1, 10 * rate), torch.tensor([10 * rate])
    model = build_model(config)
    made = int(model.frontend(speech, lengths)[1])
    assert made - 1 == frames or (made == frames and 10 * rate % conf["hop_length"])
    dense = Structure.dense(model.encoder)
    found = costs(dense, config)
    assert found["frames_10s"] == frames
    assert found["gmacs_10s"] == cost(dense, frames).macs / 1e9
    assert found["gmacs_30s"] == cost(dense, 3 * frames).macs / 1e9


def test_other_frontends():
    assert frames_of({}) == 1250
    assert frames_of({"frontend": None}) == 1000  # raw speech, or features
    assert frames_of({"frontend": "sliding_window"}) == 1000
    assert frames_of({"frontend": "kaldi_fbank"}) == 1000
    assert frames_of({"frontend": "s3prl", "frontend_conf": {"fs": "16k"}}) == 500
    parts = [
        {"frontend_type": "default", "hop_length": 160},
        {"frontend_type": "s3prl"},
    ]
    fused = {"frontend": "fused", "frontend_conf": {"frontends": parts}}
    assert frames_of(fused) == 1000


@pytest.mark.parametrize("key, value", [("hop_length", "10ms"), ("fs", "fast")])
def test_bad_values_are_told(key, value):
    with pytest.raises(UserError, match=f"frontend_conf: {key} '{value}'"):
        frames_of({"frontend_conf": {key: value}})


def test_budgets_without_a_length_take_that_of_the_model():
    own = {"kind": "macs", "sparsity": 0.5}
    assert with_frames(own, 625) == {**own, "frames": 625}
    assert with_frames([own, {**own, "frames": 200}], 625) == [
        {**own, "frames": 625},
        {**own, "frames": 200},
    ]
    assert Budget.from_conf(with_frames(own, 625)).targets[0].frames == 625
    assert with_frames({}, 625) == {} and with_frames("x", 625) == "x"


def test_selections_count_the_frames_of_the_model(tmp_path):
    words = write_model(tmp_path, config_of(hop_length=256))
    words += ["--output_dir", str(tmp_path / "out")]
    words += ["--config", str(tmp_path / "select.yaml")]
    budget = {"kind": "macs", "sparsity": 0.5}
    write_yaml({"method": "magnitude", "budget": budget}, tmp_path / "select.yaml")
    select.main(words)
    provenance = read_json(tmp_path / "out/structure.json")["provenance"]
    assert provenance["budget"] == {**budget, "frames": 625}
    assert read_json(tmp_path / "out/cost.json")["frames_30s"] == 1875


def test_seconds_of_a_length(tmp_path):
    write_yaml(config_of(hop_length=128), tmp_path / "config.yaml")
    assert seconds_of(1250, tmp_path / "config.yaml") == 10.0
    assert seconds_of(None, tmp_path / "none.yaml") == 10.0


def test_cost_command(tmp_path, capsys):
    config = config_of(hop_length=256)
    write_yaml(config, tmp_path / "config.yaml")
    options = ["--model_config", str(tmp_path / "config.yaml"), "--output"]
    cost_command.main([*options, str(tmp_path / "cost.json")])
    lengths = read_json(tmp_path / "cost.json")["lengths"]
    assert [entry["frames"] for entry in lengths] == [625, 1875]
    assert "625 frames" in capsys.readouterr().out


def test_defaults_do_not_read_the_command_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["select", "--config", "none.yaml", "--ngpu", "7"])
    args = with_defaults({"token_type": "char"})
    assert args.token_type == "char" and args.ngpu == 0
    assert args.allow_multi_rates is False and args.use_preprocessor is True
