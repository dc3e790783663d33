# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A configuration at small widths, with all that is not a width as it was."""

import inspect
from typing import Any, Dict, List, Mapping

from espnet_prune.tasks import TASKS
from test.espnet_prune.recipes.found import PARTS
from test.espnet_prune.tones import TOKENS

BLOCKS, WIDTH, HEADS = 2, 16, 4
SIZES = {
    "output_size": WIDTH,
    "attention_heads": HEADS,
    "linear_units": 24,
    "cgmlp_linear_units": 48,
    "num_blocks": BLOCKS,
    "hidden_size": 12,
    "num_layers": 1,
    "joint_space_size": 20,
}
# of self-supervised front ends, 20 ms a frame
FRONT = dict(
    output_size=WIDTH,
    attention_heads=HEADS,
    linear_units=24,
    num_blocks=BLOCKS,
    conv_layers=[[12, 10, 5], [10, 8, 8], [14, 8, 8]],
    pos_conv_kernel=8,
    pos_conv_groups=4,
)
NARROWED = tuple(p for p in PARTS if p not in ("frontend", "preencoder", "model"))
TAGS = ["<sos>", "<eos>", "<sop>", "<na>", "<nospeech>", "<notimestamps>"]
TAGS += ["<nolang>", "<asr>"]
VOCABULARY = [*TOKENS[:-1], *TAGS, "D", "E", TOKENS[-1]]


def shrunk(task: str, config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a configuration with few blocks that are narrow.

    Args:
        task: Name of ESPnet's task.
        config: What makes the model, see `found.model_keys`.
    """
    small = dict(config)
    stock = TASKS[task].espnet_class()
    for choices in stock.class_choices_list:
        name, key = choices.name, f"{choices.name}_conf"
        kind = choices.get_class(small.get(name, choices.default))
        if kind is not None and name in NARROWED:
            small[key] = _narrow(kind, small.get(key) or {})
            if name.endswith("decoder") and "num_blocks" in small[key]:
                small[key]["num_blocks"] = 1
    if small.get("frontend") == "pruned_ssl":
        front = {**small["frontend_conf"], **FRONT}
        small["frontend_conf"] = front
        if small.get("preencoder") == "linear":
            small["preencoder_conf"] = {"input_size": WIDTH, "output_size": 80}
    if small.get("encoder") == "pruned_wav2vec2":
        small["encoder_conf"] = {**small["encoder_conf"], **FRONT}
    conf = small.get("model_conf") or {}
    if (
        "ctc_asr_only" in conf
    ):  # of every intermediate CTC that is left, and of the last
        told = conf["ctc_asr_only"]
        left = len(small["encoder_conf"].get("interctc_layer_idx") or [])
        small["model_conf"] = {**conf, "ctc_asr_only": [*told[:left], told[-1]]}
    if "joint_net_conf" in small:
        small["joint_net_conf"] = {**small["joint_net_conf"], "joint_space_size": 20}
    return small


def _narrow(kind: Any, conf: Mapping[str, Any]) -> Dict[str, Any]:
    """Return arguments of a class with small sizes in place of its own."""
    known = inspect.signature(kind).parameters
    # without what the class has anyway, so that like models are equal
    default = {key: known[key].default if key in known else kind for key in conf}
    small = {key: value for key, value in conf.items() if value != default[key]}
    before = {key: conf.get(key, known[key].default) for key in SIZES if key in known}
    for key, value in before.items():
        if isinstance(value, list):  # of every block
            small[key] = [SIZES[key]] * BLOCKS
        elif value is not None:
            small[key] = SIZES[key] if key != "attention_heads" else _heads(value)
    if "use_flash_attn" in known:  # which computes twice where it is not installed
        small["use_flash_attn"] = False
    blocks = before.get("num_blocks")
    for key, value in conf.items():
        if isinstance(value, list) and key not in SIZES and len(value) == blocks:
            small[key] = value[: BLOCKS - 1] + [max(value)]
        elif key.startswith("interctc_layer_idx") and value:
            small[key] = [1]
    return small


def _heads(heads: int) -> int:
    return heads if WIDTH % heads == 0 and heads < HEADS else HEADS


def tokens(count: int) -> List[str]:
    """Return a vocabulary of so many tokens, with those that every task asks for."""
    return [*VOCABULARY[:-1], *map(str, range(count - len(VOCABULARY))), TOKENS[-1]]
