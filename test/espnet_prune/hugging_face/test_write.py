# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is cut becomes a directory of transformers again, where that can tell it."""

import pytest
import torch

from espnet_prune import Structure, cut
from espnet_prune.bin import pack
from espnet_prune.cutting.stock import stack_configs
from espnet_prune.hugging_face import write
from espnet_prune.models import load_model, save_model
from espnet_prune.source import find_model
from espnet_prune.utils import UserError, read_json, read_mapping, write_yaml
from test.espnet_prune.hugging_face.test_outputs import (
    HERE,
    NAMES,
    assert_same,
    heard,
    rows_of,
)
from test.espnet_prune.hugging_face.waves import waves

CUT = {"wave_channels": [7, 10, 9], "linear_units": [15, 15]}


def cut_experiment(name, folder, **widths):
    """Write the cut model of a directory; returns its experiment and itself."""
    model, config = load_model(*find_model(str(HERE / name), folder / "dense"))
    dense = Structure.dense(model.encoder)
    structure = dense.with_widths(widths)
    model.encoder = cut(model.encoder, structure)
    config.update(stack_configs(config, dense, structure))
    save_model(model, folder / "exp" / "model.pth")
    write_yaml(config, folder / "exp" / "config.yaml")
    return folder / "exp", model.eval()


def packed(exp, name, out):
    pack.main(["--exp_dir", str(exp), "--like", str(HERE / name), "--output", str(out)])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_the_cut_model(name, tmp_path):
    widths = CUT
    if name != "wavlm":  # also a block less
        widths = {**CUT, "linear_units": [13], "kept_blocks": [1]}
    exp, model = cut_experiment(name, tmp_path, **widths)
    packed(exp, name, tmp_path / "out")
    found, config = load_model(*find_model(str(tmp_path / "out"), tmp_path / "again"))
    ours, theirs = heard(model, waves()), heard(found.eval(), waves())
    rows = rows_of(HERE / name, config["token_list"])
    assert_same(theirs[0][..., rows], ours[0][..., rows])
    said = read_json(tmp_path / "out" / "config.json")
    assert said["conv_dim"] == [7, 10, 9]
    assert said["intermediate_size"] == widths["linear_units"][0]
    assert said["num_hidden_layers"] == len(widths["linear_units"])
    assert sum(p.numel() for p in found.encoder.parameters()) == sum(
        p.numel() for p in model.encoder.parameters()
    )


@pytest.mark.parametrize("name", NAMES)
def test_transformers_hears_the_same(name, tmp_path):
    reason = "pip install transformers, which the package does not need"
    transformers = pytest.importorskip("transformers", reason=reason)
    exp, model = cut_experiment(name, tmp_path, **CUT)
    out = tmp_path / "out"
    packed(exp, name, out)
    processor = transformers.Wav2Vec2Processor.from_pretrained(out)
    (kind,) = read_json(out / "config.json")["architectures"]
    theirs, info = getattr(transformers, kind).from_pretrained(
        out, output_loading_info=True
    )
    assert not any(info.values())
    rows = rows_of(HERE / name, read_mapping(exp / "config.yaml")["token_list"])
    for wave in waves():
        given = processor(wave, sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            found = theirs.eval()(**given).logits.log_softmax(-1).numpy()
        assert_same(heard(model, [wave])[0][..., rows], found)


@pytest.mark.parametrize(
    "widths, said",
    [
        ({"linear_units": [15, 14]}, "block 2 is cut to 2 heads and 14 units, the fir"),
        ({"attention_heads": [1, 1]}, "block 1 is cut to 1 heads and 24 units"),
        ({"linear_units": [0, 0]}, "block 1 is cut to 2 heads and 0 units"),
    ],
)
def test_other_cuts_stay_models_of_espnet(widths, said, tmp_path):
    exp, _ = cut_experiment("hubert", tmp_path, **widths)
    with pytest.raises(UserError, match=f"{said}.*stays one of ESPnet"):
        packed(exp, "hubert", tmp_path / "out")
    assert "stays one of ESPnet" in write.write_beside(exp, HERE / "hubert")
    assert not (exp / write.FOLDER).exists()


def test_values_of_soft_masks_have_no_place(tmp_path):
    exp, model = cut_experiment("hubert", tmp_path, **CUT)
    model.encoder.embed.scale[0] = 0.5
    save_model(model, exp / "model.pth")
    with pytest.raises(UserError, match="no place for embed.scale; the cut model"):
        packed(exp, "hubert", tmp_path / "out")


def test_another_directory_is_told(tmp_path):
    exp, model = cut_experiment("wav2vec2", tmp_path, **CUT)
    with pytest.raises(UserError, match="not made of it, token_list is another"):
        packed(exp, "hubert", tmp_path / "out")
    config = read_mapping(exp / "config.yaml")
    config["encoder_conf"]["normalize_waveform"] = False
    with pytest.raises(UserError, match="made of it, normalize_waveform is another"):
        write.write_back(model, config, HERE / "wav2vec2", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        packed(exp, "wav2vec2", tmp_path / "out")


def test_beside_a_cut_model(tmp_path):
    exp, _ = cut_experiment("wavlm", tmp_path, **CUT)
    for _ in range(2):  # also when it is there from before
        assert "for transformers" in write.write_beside(exp, HERE / "wavlm")
        weights = exp / write.FOLDER / "model.safetensors"
        assert weights.stat().st_size < (HERE / "wavlm" / weights.name).stat().st_size
