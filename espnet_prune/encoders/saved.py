# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a directory says that transformers has saved, of speech models.

Only its files are read. Those of all versions are known: from 5 on the feature
extractor stands in processor_config.json.
"""

from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from espnet_prune.utils import UserError, read_json

TYPES = ("wav2vec2", "hubert", "wavlm")
RATE = 16000  # samples of a second
EPS = 1e-7  # which the feature extractor adds to the variance of a waveform
CONFIG = "config.json"
FEATURES, PROCESSOR = "preprocessor_config.json", "processor_config.json"
# keys of config.json that change what is computed, and what our encoder computes
FIXED: Mapping[str, Any] = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    # adapters, as of models for many languages
    "add_adapter": False,
    "adapter_attn_dim": None,
}
# key of a Hugging Face config.json -> key of encoder_conf
_SIZES = {
    "hidden_size": "output_size",
    "num_attention_heads": "attention_heads",
    "intermediate_size": "linear_units",
    "num_hidden_layers": "num_blocks",
    "do_stable_layer_norm": "normalize_before",
    "conv_bias": "conv_bias",
    "num_conv_pos_embeddings": "pos_conv_kernel",
    "num_conv_pos_embedding_groups": "pos_conv_groups",
    "num_buckets": "num_buckets",
    "max_bucket_distance": "max_distance",
}


def read_if_there(path: Path) -> Dict[str, Any]:
    """Return the content of a JSON file, which may be missing.

    Raises:
        UserError: It is no mapping.
    """
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path.parent}: {path.name} is no mapping of keys")
    return found


def extractor_of(path: Path) -> Tuple[str, Dict[str, Any]]:
    """Return what a directory says of its feature extractor, and in which file.

    Args:
        path: The directory.

    Returns:
        The name of the file, and keys and values; none where nothing is said.

    Raises:
        UserError: A file is no mapping.
    """
    found = read_if_there(path / FEATURES)
    if found:
        return FEATURES, found
    return PROCESSOR, read_if_there(path / PROCESSOR).get("feature_extractor") or {}


def sizes_of(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the sizes that a Hugging Face config.json says, as in `encoder_conf`."""
    sizes = {ours: config[key] for key, ours in _SIZES.items() if key in config}
    if "feat_extract_norm" in config:
        sizes["extractor_mode"] = f"{config['feat_extract_norm']}_norm"
    lists = [config.get(key) for key in ("conv_dim", "conv_kernel", "conv_stride")]
    if all(lists):
        sizes["conv_layers"] = tuple(zip(*lists))
    if config.get("model_type") != "wavlm":
        sizes.pop("num_buckets", None), sizes.pop("max_distance", None)
    return sizes


def weights_file(path: Path) -> Path:
    """Return the file of weights in a Hugging Face directory.

    Raises:
        UserError: There is none, or the weights are in several files.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise UserError(
        f"weights: {path} holds neither model.safetensors nor pytorch_model.bin; "
        "download the whole model, in one file"
    )
