# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write the cut models that stand in this folder, one per family.

    python test/espnet_prune/golden/make.py

They were written by commit c38f7f1 under ESPnet 202511, with the commands of that
commit; what stands here must load, price and decode the same ever after, so it is not
made anew. Each folder has what `cut` writes (config.yaml, model.pth, structure.json),
what `select` writes (select/), the config.yaml of the dense model (dense.yaml; its
weights are those of `dense_state`), and what was measured then: measured.json, and
output.npy, what the encoder makes of `speech()`, (frames, output_size).

structures.json has a random Structure of every encoder in encoder_zoo.py as that commit
wrote it, and its prices.
"""

import json
import shutil
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from espnet_prune.utils import write_json, write_yaml  # noqa: E402
from test.espnet_prune.deep import CONFIG as ASR  # noqa: E402

FRONTEND = {"fs": 16000, "n_fft": 64, "hop_length": 160, "n_mels": 12}
BRANCHES = dict(
    output_size=8,
    attention_heads=2,
    attention_layer_type="rel_selfattn",
    pos_enc_layer_type="rel_pos",
    rel_pos_type="latest",
    cgmlp_linear_units=12,
    cgmlp_conv_kernel=3,
    num_blocks=2,
)
SPEECH = dict(
    output_size=8,
    attention_heads=4,
    linear_units=12,
    num_blocks=2,
    conv_layers=[[6, 10, 5], [5, 8, 8], [6, 8, 8]],
    pos_conv_kernel=4,
    pos_conv_groups=2,
)
CONFORMER = dict(
    output_size=8,
    attention_heads=2,
    linear_units=12,
    num_blocks=2,
    macaron_style=True,
    rel_pos_type="latest",
    cnn_module_kernel=3,
)
TRANSFORMER = dict(output_size=8, attention_heads=2, linear_units=12, num_blocks=3)
PARAMS = {"kind": "params", "sparsity": 0.35}
MACS = {"kind": "macs", "sparsity": 0.4}
PARTS = {"kind": "params", "cnn": 0.3, "transformer": 0.2}
RAW = {"frontend": None, "frontend_conf": {}, "input_size": 1, "normalize": None}

# name -> encoder, encoder_conf, budget (with the units that may go), weak modules
MODELS: Dict[str, Tuple[str, Dict[str, Any], Any, Tuple[str, ...]]] = {
    "conformer": ("conformer", CONFORMER, PARAMS, ("1.conv_module", "0.feed_forward.")),
    "transformer": ("transformer", TRANSFORMER, MACS, ("2.self_attn",)),
    "branchformer": (
        "branchformer",
        dict(BRANCHES, merge_method="concat", use_linear_after_conv=True),
        PARAMS,
        ("1.attn.",),
    ),
    "branchformer_learned": (
        "branchformer",
        dict(BRANCHES, merge_method="learned_ave"),
        dict(MACS, sparsity=0.1, units=["cgmlp_channel", "module"]),
        ("1.cgmlp",),
    ),
    "branchformer_fixed": (
        "branchformer",
        dict(BRANCHES, merge_method="fixed_ave", cgmlp_weight=[0.3, 0.8]),
        dict(PARTS, units=["module", "subsampling_channel"]),
        ("0.attn.",),
    ),
    "e_branchformer": (
        "e_branchformer",
        dict(BRANCHES, use_ffn=True, macaron_ffn=True, linear_units=12),
        PARAMS,
        ("1.cgmlp", "0.feed_forward_macaron"),
    ),
    "wav2vec2": (
        "pruned_wav2vec2",
        dict(SPEECH, model="wav2vec2_base"),
        dict(PARTS, units=["ffn_unit", "module", "wave_channel"]),
        ("0.feed_forward",),
    ),
    "wavlm": (
        "pruned_wav2vec2",
        dict(SPEECH, model="wavlm_base", num_buckets=8, max_distance=20),
        PARAMS,
        ("1.feed_forward",),
    ),
    "depth": ("conformer", dict(CONFORMER, num_blocks=3), None, ()),
}
SECONDS = (10, 30)


def config_of(name: str) -> Dict[str, Any]:
    """Return the config.yaml of a dense model."""
    encoder, conf, _, _ = MODELS[name]
    config = {**ASR, "encoder": encoder, "encoder_conf": conf}
    config.update(RAW if encoder == "pruned_wav2vec2" else {"frontend_conf": FRONTEND})
    return config


def dense_state(name: str, model: torch.nn.Module) -> Dict[str, torch.Tensor]:
    """Return the weights of a dense model, drawn by their names."""
    from espnet_prune.tensor_names import as_written

    state, weak = {}, tuple(f"encoder.encoders.{part}" for part in MODELS[name][3])
    for key, old in as_written(model, model.state_dict()).items():
        if key.startswith("frontend.") or not old.is_floating_point():
            state[key] = old
            continue
        drawn = np.random.RandomState(zlib.crc32(f"{name} {key}".encode())).randn(
            *old.shape
        )
        if key.startswith("ctc."):
            drawn = 4 * drawn * (old.dim() > 1)
        elif key.endswith("running_var"):
            drawn = 1 + 0.1 * np.abs(drawn)
        elif old.dim() > 1:
            drawn = drawn * (2 / np.sqrt(old[0].numel()))
        else:  # norms are around 1, biases around 0
            drawn = 0.2 * drawn + float(key.endswith("weight"))
        if key.startswith(weak) and old.dim() > 1:
            drawn = 0.02 * drawn
        state[key] = torch.tensor(drawn, dtype=old.dtype)
    return state


def speech() -> torch.Tensor:
    """Return the tones and noise that every model hears, one second, (1, 16000)."""
    drawn = np.random.RandomState(7)
    pitch = np.repeat(drawn.uniform(0.01, 1.0, 20), 800).cumsum()
    wave = np.repeat(drawn.uniform(0.02, 0.5, 20), 800) * np.sin(pitch)
    wave = wave + 0.02 * drawn.randn(16000)
    return torch.tensor(wave[None], dtype=torch.float32)


@torch.no_grad()
def hears(model: torch.nn.Module) -> Tuple[np.ndarray, list]:
    """Return the encoder's output, (frames, output_size), and the tokens of the CTC."""
    wave = speech()
    hidden = model.eval().encode(wave, torch.tensor([wave.size(1)]))[0]
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    tokens = torch.unique_consecutive(model.ctc.argmax(hidden)[0])
    return hidden[0].numpy(), tokens[tokens != 0].tolist()


def soften(path: Path) -> None:
    """Give masks values between 0 and 1, as those of L0 have."""
    masks = torch.load(path, weights_only=True)
    for name, mask in masks.items():
        drawn = np.random.RandomState(zlib.crc32(name.encode())).rand(len(mask))
        masks[name] = mask * torch.tensor(0.2 + 0.8 * drawn, dtype=mask.dtype)
    torch.save(masks, path)


def make(name: str, folder: Path) -> None:
    """Write one model with the commands of this commit."""
    from espnet_prune import Structure, cost
    from espnet_prune.bin import cut, select
    from espnet_prune.measure.duration import frames_of
    from espnet_prune.models import build_model, load_model

    config, budget = config_of(name), dict(MODELS[name][2] or {})
    write_yaml(config, "dense.yaml")
    torch.save(dense_state(name, build_model(config)), "dense.pth")
    conf: Dict[str, Any] = {"method": "layers", "num_remove": 1}
    conf["layers_conf"] = {"search": "random"}
    if budget:
        conf = {"method": "magnitude", "units": budget.pop("units", None)}
        conf["budget"] = budget
    write_yaml(conf, "select.yaml")
    pair = ["--model_config", "dense.yaml", "--model_file", "dense.pth"]
    select.main([*pair, "--config", "select.yaml", "--output_dir", "select"])
    if name == "conformer":
        soften(Path("select/masks.pth"))
    own = ["--refresh_batches", "0", "--select_dir", "select", "--output_dir", "cut"]
    cut.main([*pair, *own])
    model, config = load_model("cut/config.yaml", "cut/model.pth")
    output, tokens = hears(model)
    structure = Structure.load("cut/structure.json")
    measured: Dict[str, Any] = {"tokens": tokens, "params": cost(structure).params}
    measured["total_params"] = sum(p.numel() for p in model.parameters())
    measured["widths"] = structure.widths()
    for part in ("cnn", "transformer", "encoder"):
        for seconds in SECONDS:
            found = cost(structure, frames_of(config, seconds), part)
            measured[f"{part}_{seconds}s"] = vars(found)
    for path in ("dense.yaml", "select/structure.json", "select/masks.pth"):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for path in ("config.yaml", "model.pth", "structure.json"):
        shutil.copyfile(f"cut/{path}", folder / path)
    np.save(folder / "output.npy", output)
    write_json(measured, folder / "measured.json")


def structures() -> Dict[str, Any]:
    """Return a Structure of every small encoder, {name: (structure, its prices)}."""
    from espnet_prune import Structure, cost
    from test.espnet_prune.encoder_zoo import SPEECH, VARIANTS, build, build_speech

    found: Dict[str, Any] = {}
    for make_encoder, names in ((build, VARIANTS), (build_speech, SPEECH)):
        for number, name in enumerate(names):
            encoder = make_encoder(name)
            structure = Structure.random(encoder, number)
            last = list(range(len(encoder.encoders)))[number % 2 :]
            structure = structure.with_widths({"kept_blocks": last})
            prices = [
                [vars(cost(structure, frames, part)) for frames in (1000, 3000)]
                for part in ("cnn", "transformer", "encoder")
            ]
            found[name] = {"structure": structure.to_dict(), "prices": prices}
    return found


def main() -> None:
    """Write all of them."""
    import os

    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in structures().items()]
    (HERE / "structures.json").write_text("{%s}\n" % ",\n".join(lines))
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            make(name, HERE / name)
            size = sum(p.stat().st_size for p in (HERE / name).rglob("*.*"))
            print(f"{name}: {size} bytes")


if __name__ == "__main__":
    main()
