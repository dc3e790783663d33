# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's encoder `torchaudiohubert` is read as ours, and computes the same."""

import pytest
import torch
from espnet2.tasks.asr import ASRTask

from espnet_prune import UserError, unit_graph
from espnet_prune.cutting.trials import check
from espnet_prune.models import load_model, with_defaults
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG

CONF = dict(
    extractor_conv_layer_config=[[12, 10, 5], [10, 8, 8], [14, 8, 8]],
    encoder_embed_dim=16,
    encoder_pos_conv_kernel=8,
    encoder_pos_conv_groups=4,
    encoder_num_layers=2,
    encoder_num_heads=4,
    encoder_ff_interm_features=24,
    num_classes=5,
    final_dim=6,
    finetuning=True,
)
HUBERT = {
    **CONFIG,
    "frontend": None,
    "normalize": None,
    "input_size": 1,
    "encoder": "torchaudiohubert",
}


def write(folder, **changes):
    """Write an experiment as ESPnet does; return its model."""
    config = {**HUBERT, "encoder_conf": {**CONF, **changes}}
    write_yaml(config, folder / "config.yaml")
    torch.manual_seed(0)
    model = ASRTask.build_model(with_defaults(config)).eval()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.save(model.state_dict(), folder / "model.pth")
    return model


def load(folder):
    return load_model(folder / "config.yaml", folder / "model.pth")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"mask_prob": 0.0},
        dict(
            extractor_mode="layer_norm",
            extractor_conv_bias=True,
            encoder_layer_norm_first=True,
        ),
    ],
)
def test_it_computes_the_same_and_is_cut(more, tmp_path):
    theirs = write(tmp_path, **more)
    ours, config = load(tmp_path)
    assert config["encoder"] == "pruned_wav2vec2"
    x = torch.randn(3, 9000)
    lengths = torch.tensor([9000, 8000, 5000])
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    with torch.no_grad():
        wanted, olens = theirs.encode(x, lengths)
        found, again = ours.encode(x, lengths)
    assert torch.equal(olens, again)
    for row, length in enumerate(olens):
        assert torch.allclose(found[row, :length], wanted[row, :length], atol=1e-5)
    assert "wave_channel" in {unit.kind for unit in unit_graph(ours.encoder)}
    assert check(ours, 0, 0.5, 1)["equal"]


def test_one_in_pre_training_is_refused(tmp_path):
    write(tmp_path, finetuning=False)
    with pytest.raises(UserError, match="train it with finetuning: true first"):
        load(tmp_path)
