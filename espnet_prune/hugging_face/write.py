# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A cut model written back in the form that its dense one came in.

A config.json has the channels of every convolution, but one number of heads and one
width of feed-forwards for all blocks, and heads as wide together as the model. So
convolutions may differ, whole blocks may be missing, and feed-forwards be narrower, all
by as much. Other cuts are models of ESPnet.
"""

import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping

import torch
from safetensors.torch import save_file
from torch import nn

from espnet_prune.checkpoints import State, read_weights
from espnet_prune.encoders.saved import CONFIG, sizes_of
from espnet_prune.encoders.speech_models import speech_model
from espnet_prune.encoders.weights import to_ours
from espnet_prune.families import unit_graph
from espnet_prune.hugging_face.directory import Directory, read_directory
from espnet_prune.hugging_face.experiment import (
    HEAD,
    converted,
    encoder_conf,
    token_list,
)
from espnet_prune.models import load_model
from espnet_prune.structure import Stack
from espnet_prune.utils import UserError, whole_directory, write_json

WEIGHTS = "model.safetensors"
_COPIED = (".json", ".txt")
FOLDER = "hugging_face"


class NoSuchForm(UserError):
    """A cut that a directory of transformers cannot tell."""

    def __init__(self, like: Path, why: str) -> None:
        super().__init__(f"{like}: {why}; the cut model stays one of ESPnet")


def write_beside(folder: Path, like: Path) -> str:
    """Write a cut model back within its directory, if it has such a form.

    Args:
        folder: Experiment directory with config.yaml and model.pth.
        like: See `write_back`.

    Returns:
        A sentence that says what was done.
    """
    out = folder / FOLDER
    shutil.rmtree(out, ignore_errors=True)
    try:
        write_back(*load_model(folder / "config.yaml", folder / "model.pth"), like, out)
    except NoSuchForm as error:
        return str(error)
    return f"{out} is a directory for transformers, as {like} is"


def write_back(
    model: nn.Module, config: Mapping[str, Any], like: Path, out: Path
) -> None:
    """Write a model as a directory that transformers loads.

    What was written is read again, and must be the model.

    Args:
        model: The cut model.
        config: Its config.yaml.
        like: Directory of transformers that the dense model was.
        out: Directory to write, which must not be there.

    Raises:
        NoSuchForm: The cut cannot be told there.
        UserError: The directory is there, or `like` is another model; nothing was
            written.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; give another name, or remove it")
    found = read_directory(like)
    _check_same(config, found)
    before = read_weights(found.weights)
    sizes = _sizes(unit_graph(model.encoder).dense["encoder"], found)
    rows = token_list(found)[1]
    state = {**_encoder(model.encoder, found, before), **_head(model, rows, before)}
    with whole_directory(out) as part:
        for path in like.iterdir():
            if path.suffix in _COPIED and not path.name.endswith(".index.json"):
                shutil.copyfile(path, part / path.name)
        save_file(state, part / WEIGHTS, {"format": "pt"})
        write_json({**found.config, **sizes}, part / CONFIG)
        own, known = model.state_dict(), torch.tensor(rows) >= 0
        for key, value in converted(read_directory(part))[1].items():
            kept = known if key.startswith("ctc.") else slice(None)
            if not torch.equal(value[kept], own[key][kept]):
                raise UserError(f"{out}: not written, {key} came out as another one")


def _check_same(config: Mapping[str, Any], found: Directory) -> None:
    """Refuse a directory that the model was not made of.

    Raises:
        UserError: Tokens, or a size, are others.
    """
    wanted = encoder_conf(found)
    ours = {"token_list": config["token_list"], **config["encoder_conf"]}
    theirs = {"token_list": token_list(found)[0]}
    for key in (*sizes_of(found.config), "normalize_waveform", "waveform_eps"):
        theirs[key] = wanted.get(key)
    for key, value in theirs.items():
        if ours.get(key) != value:
            raise UserError(
                f"{found.path}: the model was not made of it, {key} is another; give "
                "the directory that it was made of"
            )


def _sizes(stack: Stack, found: Directory) -> Dict[str, Any]:
    """Return what config.json says of a structure.

    Raises:
        NoSuchForm: It cannot say it.
    """
    heads = found.config.get("num_attention_heads", 12)
    for block, (number, width) in enumerate(
        zip(stack.blocks["attention_heads"], stack.blocks["linear_units"])
    ):
        first = stack.blocks["linear_units"][0]
        if number != heads or not width or width != first:
            raise NoSuchForm(
                found.path,
                f"config.json has {heads} heads and one width of feed-forwards for all "
                f"blocks, and block {block + 1} is cut to {number} heads and {width} "
                f"units, the first to {first} units",
            )
    sizes = {
        "conv_dim": list(stack.front["wave_channels"]),
        "intermediate_size": stack.blocks["linear_units"][0],
        "num_hidden_layers": len(stack.kept_blocks),
    }
    kinds = [key for key in ("dtype", "torch_dtype") if key in found.config]
    return {**sizes, **dict.fromkeys(kinds, "float32")}


def _encoder(encoder: nn.Module, found: Directory, before: State) -> State:
    """Return the weights of an encoder by the names that they had.

    Raises:
        NoSuchForm: There are some that transformers has no place for.
    """
    keys = list(before)
    conf = speech_model(found.preset, sizes_of(found.config))
    marks = {key: torch.tensor(number) for number, key in enumerate(keys)}
    names = {ours: keys[int(n)] for ours, n in to_ours(marks, conf).items()}
    state: Dict[str, torch.Tensor] = {}
    for ours, value in encoder.state_dict().items():
        if ours == "embed.scale" and bool((value == 1).all()):
            continue
        if ours not in names:
            raise NoSuchForm(found.path, f"transformers has no place for {ours}")
        shape = before[names[ours]].shape
        same = shape.numel() == value.numel()
        state[names[ours]] = (value.reshape(shape) if same else value).contiguous()
    for ours, name in names.items():  # what only training would use
        if not ours.startswith("encoders."):
            state.setdefault(name, before[name])
    return state


def _head(model: nn.Module, rows: List[int], before: State) -> State:
    """Return the rows of a head in the order that they had."""
    state = {}
    for key in ("weight", "bias"):
        name = f"{HEAD}.{key}"
        state[name] = torch.empty_like(before[name])
        for row, value in zip(rows, getattr(model.ctc.ctc_lo, key).detach()):
            if row >= 0:
                state[name][row] = value
    return state
