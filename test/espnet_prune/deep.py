# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tiny models with random weights, and their experiments: the models of all tests.

`CONFIG` is a CTC model of several blocks, `HYBRID` a Conformer with a decoder; tests
change keys of them. Encoders alone, of every variant, are in `encoder_zoo`.
"""

from pathlib import Path
from typing import Any, Dict, List

import torch

from espnet_prune.models import build_model
from espnet_prune.utils import write_yaml
from test.espnet_prune.tones import TOKENS, make_data

CONFIG: Dict[str, Any] = {
    "token_list": TOKENS,
    "token_type": "char",
    "bpemodel": None,
    "non_linguistic_symbols": None,
    "cleaner": None,
    "g2p": None,
    "use_preprocessor": True,
    "preprocessor": "default",
    "preprocessor_conf": {},
    "init": None,
    "input_size": None,
    "frontend": "default",
    "frontend_conf": {"fs": 16000, "n_fft": 256, "hop_length": 160, "n_mels": 20},
    "specaug": None,
    "normalize": "utterance_mvn",
    "normalize_conf": {},
    "preencoder": None,
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 24,
        "num_blocks": 5,
    },
    "postencoder": None,
    "decoder": None,
    "ctc_conf": {},
    "joint_net_conf": None,
    "model": "espnet",
    "model_conf": {"ctc_weight": 1.0},
}
HYBRID: Dict[str, Any] = {
    **CONFIG,
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 1,
        "rel_pos_type": "latest",
    },
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 8, "num_blocks": 1},
    "model_conf": {},
}


def write_model(folder: Path, config: Dict[str, Any], seed: int = 0) -> List[str]:
    """Write config.yaml and model.pth of a model as it was initialised.

    Returns:
        The options of a command that name the two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    paths = folder / "config.yaml", folder / "model.pth"
    write_yaml(config, paths[0])
    torch.save(build_model(config).state_dict(), paths[1])
    return ["--model_config", str(paths[0]), "--model_file", str(paths[1])]


def make_model(config: Dict[str, Any], seed: int = 0) -> torch.nn.Module:
    """Build a model whose blocks all matter, and whose output is not blank alone."""
    torch.manual_seed(seed)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.encoder.encoders.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0)
        model.ctc.ctc_lo.weight.mul_(4.0)
    return model


def make_identity(model: torch.nn.Module, block: int) -> None:
    """Make a Transformer block (1-based) return its input."""
    chosen = model.encoder.encoders[block - 1]
    with torch.no_grad():
        for linear in (chosen.self_attn.linear_out, chosen.feed_forward.w_2):
            linear.weight.zero_()
            linear.bias.zero_()


IDLE = "encoders.2.feed_forward.units"


def make_idle_model() -> torch.nn.Module:
    """Make one of which the first half of the units `IDLE` are large and do nothing."""
    model = make_model(CONFIG)
    feed_forward = model.encoder.encoders[2].feed_forward
    with torch.no_grad():
        feed_forward.w_1.weight[:12] *= 50
        feed_forward.w_1.bias[:12] = -1000.0  # never above 0
    return model


def make_exp(folder: Path, model: torch.nn.Module, **changes: Any) -> Dict[str, Any]:
    """Write an experiment whose validation labels are what the model itself hears.

    Returns:
        The content of config.yaml; the checkpoint is `folder`/model.pth.
    """
    from espnet_prune.select.layers.dev_data import load_batches

    make_data(folder / "data", train=8, valid=6)
    data = folder / "data"
    config = {**CONFIG, **changes}
    for split in ("train", "valid"):
        config[f"{split}_data_path_and_name_and_type"] = [
            [str(data / f"{split}_wav.scp"), "speech", "sound"],
            [str(data / f"{split}_text"), "text", "text"],
        ]
    batches, lines = load_batches(config, metric="cer"), []

    @torch.no_grad()
    def states():
        pairs = [model.encode(b.speech, b.lengths) for b in batches]
        return [(h[0] if isinstance(h, tuple) else h, lens) for h, lens in pairs]

    head = model.ctc.ctc_lo
    with torch.no_grad():  # no token, letters only, is the rule everywhere
        mean = torch.cat([h.flatten(0, 1) for h, _ in states()]).mean(0)
        head.bias.copy_(-head.weight @ mean)
        head.bias[[1, len(TOKENS) - 1]] = -1000.0
    for batch, (hidden, lengths) in zip(batches, states()):
        for name, row, length in zip(batch.ids, model.ctc.argmax(hidden), lengths):
            ids = torch.unique_consecutive(row[:length]).tolist()
            lines.append(f"{name} {''.join(TOKENS[i] for i in ids if i) or 'A'}\n")
    (data / "valid_text").write_text("".join(sorted(lines)))
    write_yaml(config, folder / "config.yaml")
    torch.save(model.state_dict(), folder / "model.pth")
    return config
