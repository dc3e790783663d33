# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make the models beside this file: ESPnet's front ends with tiny random models.

Each is a directory as a training of ESPnet leaves it, what its front end was made of,
and the features that ESPnet's front end gives. Call it where s3prl and transformers
before 5 are installed (`pip install s3prl "transformers<5"`):

    python -m test.espnet_prune.front_ssl.make
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch

from espnet_prune.models import with_defaults
from espnet_prune.tasks import task_of
from espnet_prune.utils import write_yaml
from test.espnet_prune.deep import CONFIG

FOLDER = Path(__file__).parent
LENGTHS = (3301, 5120, 4000)  # the first and the last give a frame less than s3prl
SIZES = dict(
    encoder_layers=3,
    encoder_embed_dim=16,
    encoder_ffn_embed_dim=24,
    encoder_attention_heads=2,
    conv_feature_layers="[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
    conv_pos=8,
    conv_pos_groups=4,
    activation_fn="gelu",
)
LARGE = dict(layer_norm_first=True, extractor_mode="layer_norm")


def waves():
    """Return utterances (samples,) of `LENGTHS`, quiet and with an offset."""
    draw = np.random.RandomState(0)
    return [(0.02 * draw.randn(n) + 0.005).astype(np.float32) for n in LENGTHS]


def randomised(model):
    """Give norms and biases values that betray a wrong place."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def wavlm(folder):
    """A Large model by a weighted sum of all its layers."""
    from s3prl.upstream.wavlm.WavLM import WavLM, WavLMConfig

    cfg = dict(SIZES, **LARGE, normalize=True, num_buckets=8, max_distance=20)
    cfg.update(relative_position_embedding=True, gru_rel_pos=True)
    model = randomised(WavLM(WavLMConfig(cfg)))
    torch.save({"cfg": cfg, "model": model.state_dict()}, folder / "upstream.pt")
    return {"upstream": "wavlm_local"}, {"multilayer_feature": True}


def hubert(folder):
    """A Base model of which the second block's output is used."""
    from s3prl.upstream.hubert import hubert_model as theirs
    from s3prl.upstream.utils import merge_with_parent

    cfg, task = dict(SIZES, label_rate=50.0, final_dim=8), dict(label_rate=50.0)
    symbols = [["a"] * 8]
    model = theirs.HubertModel(
        merge_with_parent(theirs.HubertConfig, cfg),
        merge_with_parent(theirs.HubertPretrainingConfig, task),
        symbols,
    )
    state = randomised(model).state_dict()
    content = dict(task_cfg=task, model_cfg=cfg, model_weight=state)
    torch.save({**content, "dictionaries_symbols": symbols}, folder / "upstream.pt")
    return {"upstream": "hubert_local"}, {"layer": 2}


def wav2vec2(folder):
    """A Large model of transformers by ESPnet's own front end for these."""
    import transformers

    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
    )
    model = randomised(transformers.Wav2Vec2Model(config))
    model.save_pretrained(folder / "upstream")
    features = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    features.save_pretrained(folder / "upstream")
    return None, {"model": str(folder / "upstream")}


def make(maker):
    """Write one directory."""
    folder = FOLDER / maker.__name__
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    inner, conf = maker(folder)
    if inner is not None:
        inner["path_or_url"] = str(folder / "upstream.pt")
        conf = {"frontend_conf": inner, **conf}
    name = "huggingface" if inner is None else "s3prl"
    config = {**CONFIG, "frontend": name, "frontend_conf": conf}
    config["encoder_conf"] = dict(
        output_size=8,
        attention_heads=2,
        linear_units=8,
        num_blocks=1,
        input_layer="linear",
    )
    task = task_of(config).espnet_class()
    model = task.build_model(with_defaults(config)).eval()
    with torch.no_grad():
        for weights in getattr(
            model.frontend, "featurizer", torch.nn.Module()
        ).parameters():
            weights.copy_(torch.randn(weights.shape))
        found = {}
        for number, wave in enumerate(waves()):
            lengths = torch.tensor([len(wave)])
            features, _ = model.frontend(torch.from_numpy(wave)[None], lengths)
            found[f"features_{number}"] = features[0].numpy()
    np.savez_compressed(folder / "expected.npz", **found)
    torch.save(model.state_dict(), folder / "model.pth")
    # the directory may lie anywhere; what its model was made of lies in it
    if inner is None:
        conf["model"] = "upstream"
        (folder / "upstream" / "model.safetensors").unlink()
    else:
        inner["path_or_url"] = "upstream.pt"
        file = folder / "upstream.pt"
        content = torch.load(file)
        weights = ("model", "model_weight", "dictionaries_symbols")
        torch.save({k: v for k, v in content.items() if k not in weights}, file)
    write_yaml(config, folder / "config.yaml")


def main():
    """Write all, with what s3prl asks of a torchaudio that has it no more."""
    import torchaudio

    torchaudio.set_audio_backend = lambda name: None
    effects = types.ModuleType("torchaudio.sox_effects")
    effects.apply_effects_tensor = None
    sys.modules.setdefault("torchaudio.sox_effects", effects)
    for maker in (wavlm, hubert, wav2vec2):
        make(maker)


if __name__ == "__main__":
    main()
