# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's front ends `s3prl` and `huggingface`, read as our `pruned_ssl`.

What a configuration says of them is said as ours understands it. The sizes of a model
are known by its name, or stand in a file beside its weights; what cannot be known, or
is no wav2vec 2.0, HuBERT or WavLM, stays as ESPnet has it.
"""

import ast
import logging
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Tuple

from espnet_prune.encoders.saved import (
    CONFIG,
    EPS,
    FEATURES,
    FIXED,
    RATE,
    TYPES,
    extractor_of,
    read_if_there,
    sizes_of,
)
from espnet_prune.encoders.speech_models import PRESETS
from espnet_prune.model_files import home_of
from espnet_prune.utils import PathLike, UserError, load_tensors

NAME = "pruned_ssl"
_LARGE = "wav2vec2_large_lv60k"
_XLS_R: Dict[str, Any] = {"output_size": 1280, "linear_units": 5120, "num_blocks": 48}
# upstreams of s3prl by name: whose sizes they have, and what differs
UPSTREAMS: Mapping[str, Tuple[str, Mapping[str, Any]]] = {
    "wav2vec2": ("wav2vec2_base", {}),
    "wav2vec2_base_960": ("wav2vec2_base", {}),
    "wav2vec2_large_960": ("wav2vec2_large", {}),
    "wav2vec2_large_ll60k": (_LARGE, {}),
    "wav2vec2_large_lv60_cv_swbd_fsh": (_LARGE, {}),
    "xlsr_53": (_LARGE, {}),
    "xls_r_300m": (_LARGE, {}),
    "xls_r_1b": (_LARGE, _XLS_R),
    "xls_r_2b": (_LARGE, {**_XLS_R, "output_size": 1920, "linear_units": 7680}),
    "hubert": ("hubert_base", {}),
    "hubert_base": ("hubert_base", {}),
    "hubert_base_robust_mgr": ("hubert_base", {}),
    "mhubert_base_vp_en_es_fr_it3": ("hubert_base", {}),
    "hubert_large_ll60k": ("hubert_large", {}),
    "wavlm": ("wavlm_base", {}),
    "wavlm_base": ("wavlm_base", {}),
    "wavlm_base_plus": ("wavlm_base", {}),
    "wavlm_large": ("wavlm_large", {}),
}
# upstreams whose sizes stand in the checkpoint or directory that they are made of
_OF_FILES = tuple(
    f"{kind}_{form}" for kind in TYPES for form in ("local", "url", "custom")
)
_OF_DIRECTORIES = ("hf_wav2vec2_custom", "hf_hubert_custom")
# keys of fairseq -> ours
_FAIRSEQ = {
    "encoder_embed_dim": "output_size",
    "encoder_attention_heads": "attention_heads",
    "encoder_ffn_embed_dim": "linear_units",
    "encoder_layers": "num_blocks",
    "layer_norm_first": "normalize_before",
    "conv_bias": "conv_bias",
    "conv_pos": "pos_conv_kernel",
    "conv_pos_groups": "pos_conv_groups",
}
# front ends that hold such a model, and stay whole
_WHOLE = {
    "espnet_ssl": "runs an encoder of ESPnet's task ssl, whose units are not known",
    "fused": "joins several front ends, whose units are not known",
}
# what changes the function, and what ours computes
_FIXED: Mapping[str, Any] = {
    "layer_type": "transformer",
    "pos_conv_depth": 1,
    "activation_fn": "gelu",
}


def adopted(
    config: Mapping[str, Any], where: PathLike = "config.yaml"
) -> Tuple[Dict[str, Any], str]:
    """Return a configuration whose front end is ours, if it can be.

    Args:
        config: Content of config.yaml; it is left as it is.
        where: The file: a model that it names may lie beside it.

    Returns:
        The configuration, and why a self-supervised front end stays as it is; "" where
        none does.
    """
    name = config.get("frontend")
    read = _READERS.get(str(name))
    if read is None:
        stays = "" if name not in _WHOLE else f"frontend: {name} {_WHOLE[name]}"
        return dict(config), stays
    try:
        own = read(config.get("frontend_conf") or {}, where)
    except UserError as error:
        return dict(config), f"frontend: {name}: {error}"
    if "fs" in (config.get("frontend_conf") or {}):
        own["fs"] = config["frontend_conf"]["fs"]
    found = {**config, "frontend": NAME, "frontend_conf": own}
    frozen = [str(name) for name in config.get("freeze_param") or []]
    left = [name for name in frozen if not name.startswith("frontend.")]
    if left != frozen:  # what is in a front end has other names now
        found["freeze_param"] = left
        logging.info(
            "freeze_param: the front end is trained on if this model is; "
            "freeze_param: [frontend] keeps it as it is"
        )
    return found, ""


def _s3prl(conf: Mapping[str, Any], where: PathLike) -> Dict[str, Any]:
    inner = conf.get("frontend_conf") or {}
    name, tile = str(inner.get("upstream")), inner.get("tile_factor", 1)
    if tile != 1:
        raise UserError(f"tile_factor {tile} repeats frames, which is not known")
    if inner.get("extra_conf"):
        raise UserError(f"extra_conf {inner['extra_conf']} is not known")
    if name in UPSTREAMS:
        model, sizes = UPSTREAMS[name]
        own = {"model": model, **sizes}
    elif name in _OF_DIRECTORIES:
        own = _of_directory(_path(inner.get("path_or_url"), where))
    elif name in _OF_FILES:
        own = _of_file(_path(inner.get("path_or_url"), where))
    else:
        raise UserError(
            f"upstream {name} is no wav2vec 2.0, HuBERT or WavLM that is known"
        )
    if inner.get("normalize"):
        own["normalize_states"] = True
    layer = conf.get("layer", -1)
    if layer != -1:
        return {**own, **_up_to(own, layer)}
    return {**own, "multilayer_feature": bool(conf.get("multilayer_feature", False))}


def _up_to(own: Mapping[str, Any], layer: Any) -> Dict[str, Any]:
    """Return what uses the hidden state of a layer: the model ends there.

    Raises:
        UserError: There is no such hidden state, or no block before it.
    """
    blocks = own.get("num_blocks", PRESETS[own["model"]].num_blocks)
    if isinstance(layer, int) and -blocks - 1 <= layer <= blocks:
        place = layer % (blocks + 1)
        if place:
            return {"num_blocks": place, "final_norm": place == blocks}
    raise UserError(f"layer {layer} is not the output of one of {blocks} blocks")


def _hugging_face(conf: Mapping[str, Any], where: PathLike) -> Dict[str, Any]:
    own = _of_directory(_path(conf.get("model"), where))
    return {**own, "repeat_last": False}


def _path(name: Any, where: PathLike) -> Path:
    """Return where a file or directory is: here, or in the tree of the config."""
    home = None if Path(str(name)).exists() else home_of(where, str(name))
    return Path(str(name)) if home is None else home / str(name)


def _of_directory(path: Path) -> Dict[str, Any]:
    """Return the sizes that the directory of a Hugging Face model says.

    Raises:
        UserError: It is not there, or computes something else.
    """
    config, features = read_if_there(path / CONFIG), extractor_of(path)[1]
    if not config or not features:
        raise UserError(
            f"{path} is no directory with {CONFIG} and {FEATURES}, which say the "
            "sizes of the model; download it, and name the directory"
        )
    kind = config.get("model_type")
    if kind not in TYPES:
        raise UserError(f"{path} is a model of type {kind}, whose units are not known")
    _check(config, FIXED, path)
    rate = features.get("sampling_rate", RATE)
    if rate != RATE:
        raise UserError(f"{path} is for speech at {rate} Hz, and ours for {RATE}")
    own = sizes_of(config)
    own["conv_layers"] = [list(layer) for layer in own.get("conv_layers", ())]
    own["normalize_before"] = bool(config.get("do_stable_layer_norm", False))
    own["normalize_waveform"] = bool(features.get("do_normalize", True))
    return {"model": f"{kind}_base", **own, "waveform_eps": EPS}


def _of_file(path: Path) -> Dict[str, Any]:
    """Return the sizes that a checkpoint of s3prl says.

    Raises:
        UserError: It is not there, says none, or computes something else.
    """
    if not path.is_file():
        raise UserError(
            f"{path} is no file here, and the sizes of the model stand in it; put it "
            "there, or set frontend: pruned_ssl with model and sizes"
        )
    found = load_tensors(path)
    conf, task = found.get("model_cfg", found.get("cfg")), found.get("task_cfg", {})
    if not isinstance(conf, Mapping):
        raise UserError(f"{path} does not say the sizes of its model")
    _check(conf, _FIXED, path)
    own = {ours: conf[key] for key, ours in _FAIRSEQ.items() if key in conf}
    if "conv_feature_layers" in conf:
        own["conv_layers"] = _layers(conf["conv_feature_layers"])
    mode = getattr(conf.get("extractor_mode"), "value", conf.get("extractor_mode"))
    own["extractor_mode"] = "layer_norm" if mode == "layer_norm" else "group_norm"
    own["normalize_waveform"] = bool(task.get("normalize", conf.get("normalize")))
    gated = bool(conf.get("relative_position_embedding"))
    if gated:
        own.update({k: conf[k] for k in ("num_buckets", "max_distance") if k in conf})
    return {"model": "wavlm_base" if gated else "hubert_base", **own}


def _check(conf: Mapping[str, Any], fixed: Mapping[str, Any], where: Path) -> None:
    for key, value in fixed.items():
        if conf.get(key, value) != value:
            raise UserError(
                f"{where} has {key} {conf[key]!r}, and units of {value!r} are known"
            )


def _layers(text: str) -> Any:
    """Return [[channels, kernel, stride], ...] of what fairseq writes as a sum of
    lists, some of them times a number.

    Raises:
        UserError: It is something else.
    """
    try:
        found = []
        for part in str(text).split("+"):
            value, _, times = part.partition("*")
            layers = ast.literal_eval(value.strip()) * int(times or 1)
            found += [[int(n) for n in layer] for layer in layers]
    except (SyntaxError, TypeError, ValueError) as error:
        raise UserError(f"conv_feature_layers {text!r} are no layers") from error
    return found


_READERS: Mapping[str, Callable[[Mapping[str, Any], PathLike], Dict[str, Any]]] = {
    "s3prl": _s3prl,
    "huggingface": _hugging_face,
}
