# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's self-supervised front ends are read as ours, or stay whole and say why."""

import logging
import shutil

import numpy as np
import pytest
import torch

from espnet_prune import unit_graph
from espnet_prune.encoders.adopted import UPSTREAMS, adopted
from espnet_prune.encoders.pruned_ssl import PrunedSSLFrontend
from espnet_prune.encoders.speech_models import speech_model
from espnet_prune.families import whole_graph
from espnet_prune.models import build_model, load_model
from espnet_prune.train.command import get_parser, read_command
from espnet_prune.utils import UserError, read_json, write_json
from test.espnet_prune.deep import CONFIG, write_model
from test.espnet_prune.encoder_zoo import FRONTS
from test.espnet_prune.front_ssl.make import FOLDER, waves

MODELS = ("wavlm", "hubert", "wav2vec2")


def loaded(folder):
    return load_model(folder / "config.yaml", folder / "model.pth")


@pytest.mark.parametrize("name", MODELS)
def test_features_are_those_of_espnet(name):
    """Weighted sum, a lower layer, and transformers; what was written by make.py."""
    model, config = loaded(FOLDER / name)
    assert config["frontend"] == "pruned_ssl"
    expected = np.load(FOLDER / name / "expected.npz")
    batch = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(w) for w in waves()], True
    )
    lengths = torch.tensor([len(wave) for wave in waves()])
    with torch.no_grad():
        # a Base model's group norm hears what stands beside an utterance
        found = [model.frontend(b[None, :n], n[None]) for b, n in zip(batch, lengths)]
        together = model.frontend(batch, lengths)
    for number, (features, count) in enumerate(found):
        wanted = torch.from_numpy(expected[f"features_{number}"])
        assert features.shape[1:] == wanted.shape and count == len(wanted)
        assert (features[0] - wanted).abs().max() < 3e-6 * wanted.abs().max()
        assert wanted.std(0).max() > 0.02  # frames differ
        if name != "hubert":
            rows = together[0][number, : len(wanted)]
            assert torch.allclose(rows, features[0], atol=1e-5)
    assert together[1].tolist() == [int(count) for _, count in found]


def test_lower_layers_leave_the_others_out():
    model, _ = loaded(FOLDER / "hubert")
    assert len(model.frontend.encoders) == 2 and model.frontend.layer_weights is None


@pytest.mark.parametrize("name", UPSTREAMS)
def test_published_models_are_known_by_name(name):
    conf = {
        "frontend_conf": {"upstream": name},
        "multilayer_feature": True,
        "fs": 16000,
    }
    found, why = adopted({"frontend": "s3prl", "frontend_conf": conf})
    own = found["frontend_conf"]
    assert not why and own.pop("multilayer_feature") and own.pop("fs") == 16000
    sizes = speech_model(own.pop("model"), own)
    assert sizes.gated == name.startswith("wavlm")
    assert sizes.normalize_before == sizes.normalize_waveform


def s3prl(**inner):
    return {"frontend_conf": {"upstream": "wavlm_large", **inner}}


WHOLE = {
    "upstream tera is no": ("s3prl", s3prl(upstream="tera")),
    "tile_factor 2": ("s3prl", s3prl(tile_factor=2)),
    "extra_conf": ("s3prl", s3prl(extra_conf={"feature_selection": "fairseq_layers"})),
    "layer 25 is not": ("s3prl", {**s3prl(), "layer": 25}),
    "layer 0 is not": ("s3prl", {**s3prl(), "layer": 0}),
    "no file here": ("s3prl", s3prl(upstream="hubert_url", path_or_url="https://a/b")),
    "no directory with config.json": ("huggingface", {"model": "facebook/x"}),
    "frontend: espnet_ssl runs": ("espnet_ssl", {}),
    "frontend: fused joins": ("fused", {"frontends": []}),
}


@pytest.mark.parametrize("words", WHOLE)
def test_others_stay_as_they_are(words):
    name, conf = WHOLE[words]
    config = {"frontend": name, "frontend_conf": conf}
    found, why = adopted(config)
    assert found == config and words in why and name in why


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"model_type": "w2v-bert"}, "type w2v-bert"),
        ({"add_adapter": True}, "add_adapter True"),
    ],
)
def test_directories_of_other_models(tmp_path, changes, words):
    shutil.copytree(FOLDER / "wav2vec2" / "upstream", tmp_path / "upstream")
    file = tmp_path / "upstream" / "config.json"
    write_json({**read_json(file), **changes}, file)
    conf = {"frontend": "huggingface", "frontend_conf": {"model": "upstream"}}
    assert words in adopted(conf, tmp_path / "config.yaml")[1]


def test_frozen_front_ends_are_named_anew(caplog):
    conf = {"frontend": "s3prl", "frontend_conf": s3prl()}
    names = ["frontend.upstream", "encoder.embed"]
    with caplog.at_level(logging.INFO):
        found, _ = adopted({**conf, "freeze_param": names})
    assert found["freeze_param"] == ["encoder.embed"]
    assert "freeze_param: [frontend]" in caplog.text


def test_a_checkpoint_without_its_model(tmp_path):
    """As ESPnet saves it with save_strategy: required_grad_only."""
    shutil.copytree(FOLDER / "wavlm", tmp_path / "exp")
    state = torch.load(tmp_path / "exp" / "model.pth")
    left = {k: v for k, v in state.items() if "upstream" not in k}
    torch.save(left, tmp_path / "exp" / "model.pth")
    with pytest.raises(UserError, match="saved as a whole"):
        loaded(tmp_path / "exp")


def test_published_weights_are_read_by_a_training_alone():
    conf = {"conv_layers": FRONTS["front_base"]["conv_layers"], "weights": "gone"}
    config = {**CONFIG, "frontend": "pruned_ssl", "frontend_conf": conf}
    conf.update(num_blocks=1, output_size=16, attention_heads=2, pos_conv_groups=4)
    build_model(config)
    with pytest.raises(UserError, match="gone is no file"):
        PrunedSSLFrontend(**conf)


def test_a_training_without_weights_says_so(tmp_path, caplog):
    base = ["--base_config", str(FOLDER / "wavlm" / "config.yaml")]
    base += ["--output_dir", str(tmp_path)]
    for more, says in (([], True), (["--init_param", "model.pth"], False)):
        caplog.clear()
        assert read_command(get_parser(), [*base, *more]).frontend == "pruned_ssl"
        assert ("begins with random weights" in caplog.text) == says


def test_whole_front_ends_leave_the_encoder(tmp_path):
    """Its encoder is pruned alone, and a whole model is refused by name."""
    write_model(tmp_path, CONFIG)
    model, _ = loaded(tmp_path)
    inner = type("S3prlFrontend", (torch.nn.Module,), {})()
    model.frontend = type("FusedFrontends", (torch.nn.Module,), {})()
    model.frontend.frontends = torch.nn.ModuleList([inner])
    with pytest.raises(UserError, match="FusedFrontends cannot be pruned"):
        unit_graph(model)
    assert list(whole_graph(model).places) == ["encoder"]


@pytest.mark.parametrize(
    "conf,words",
    [
        ({"conv_layers": [[8, 10, 5], [8, 8, 8]]}, "strides.*multiply to 320"),
        ({"fs": 8000}, "frontend_conf: fs 8000"),
        ({"model": "hubert"}, "frontend_conf: model"),
    ],
)
def test_bad_configurations(conf, words):
    with pytest.raises(UserError, match=words):
        PrunedSSLFrontend(**conf)
