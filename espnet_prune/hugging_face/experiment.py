# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model of transformers as an experiment of ESPnet: config.yaml and checkpoint.

The encoder is our `pruned_wav2vec2` with the feature extractor's normalisation, the
head is ESPnet's CTC, with its rows in ESPnet's order. A token that ESPnet wants and the
model does not have gets a row that is never the best one.
"""

from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch

from espnet_prune.checkpoints import State, read_weights
from espnet_prune.encoders.saved import EPS, sizes_of
from espnet_prune.encoders.speech_models import speech_model
from espnet_prune.encoders.wav2vec2 import Wav2Vec2Encoder
from espnet_prune.encoders.weights import load_state
from espnet_prune.hugging_face.directory import Directory, read_directory
from espnet_prune.utils import (
    UserError,
    atomic_torch_save,
    sha256,
    whole_directory,
    write_yaml,
)

BLANK, UNKNOWN, SPACE, END = "<blank>", "<unk>", "<space>", "<sos/eos>"
CONFIG, CHECKPOINT = "config.yaml", "valid.cer_ctc.ave.pth"
# by how much such a row is below the mean of the others: its probability is at most
# 2e-9 of the best one's, and its size does not widen bars that are relative
BELOW = 20.0
HEAD = "lm_head"
# key of config.json -> key of encoder_conf, for further training
_TRAINING = {
    "hidden_dropout": "dropout_rate",
    "attention_dropout": "attention_dropout_rate",
    "activation_dropout": "ff_dropout_rate",
    "feat_proj_dropout": "projection_dropout_rate",
    "layerdrop": "layer_drop_rate",
}
_MASKS = {
    "mask_time_prob": "mask_time_prob",
    "mask_time_length": "mask_time_length",
    "mask_feature_prob": "mask_channel_prob",
    "mask_feature_length": "mask_channel_length",
}


def as_experiment(path: Path, folder: Path) -> Path:
    """Write a model of transformers as an experiment, unless that is done.

    Args:
        path: Its directory.
        folder: In which the experiment gets a directory, named by what it is made of.

    Returns:
        The directory; what is there is whole.

    Raises:
        UserError: It is a model that is not taken over.
    """
    found = read_directory(path)
    files = [found.weights, *sorted(path.glob("*.json"))]
    name = "".join(sha256(file)[:4] for file in files)
    out = folder / f"{path.resolve().name}_{name}"
    if not (out / CONFIG).is_file():
        config, state = converted(found)
        with whole_directory(out) as part:
            atomic_torch_save(state, part / CHECKPOINT)
            write_yaml(config, part / CONFIG)
    return out


def converted(found: Directory) -> Tuple[Dict[str, Any], State]:
    """Return the content of config.yaml and of the checkpoint.

    Raises:
        UserError: Tokens or weights are not taken over.
    """
    tokens, rows = token_list(found)
    conf, state = encoder_conf(found), read_weights(found.weights)
    ours = {**_encoder(found, conf, state), **_head(found, rows, state)}
    return _config(tokens, conf), ours


def token_list(found: Directory) -> Tuple[List[str], List[int]]:
    """Return ESPnet's tokens, and for each its row in the head, -1 for none.

    Raises:
        UserError: Tokens are more than a character, or mean the same.
    """
    ours = {found.blank: BLANK, found.unknown: UNKNOWN, found.delimiter: SPACE}
    names = [ours.get(t, SPACE if t == " " else t) for t in found.tokens]
    for token, name in zip(found.tokens, names):
        special = token in ours or token[:1] + token[-1:] in ("<>", "[]")
        if len(token) != 1 and not special:
            raise UserError(
                f"--model {found.path}: vocab.json has '{token}', which is more than a "
                "character; only models of characters are taken over"
            )
        if [*names, END].count(name) > 1:
            raise UserError(
                f"--model {found.path}: two tokens of vocab.json would be '{name}'; "
                "give a model that has one"
            )
    rows = {name: row for row, name in enumerate(names)}
    rows.setdefault(UNKNOWN, -1)
    first = {BLANK: rows.pop(BLANK), UNKNOWN: rows.pop(UNKNOWN)}
    rows = {**first, **rows, END: -1}
    return list(rows), list(rows.values())


def encoder_conf(found: Directory) -> Dict[str, Any]:
    """Return the options of the encoder.

    Raises:
        UserError: Sizes do not fit together.
    """
    config = found.config
    conf: Dict[str, Any] = {"model": found.preset}
    conf.update(sizes_of(config), normalize_waveform=found.normalize)
    if "conv_layers" in conf:
        conf["conv_layers"] = [list(layer) for layer in conf["conv_layers"]]
    if found.normalize:
        conf["waveform_eps"] = EPS
    keys = dict(_TRAINING)
    if config.get("apply_spec_augment", True):
        keys.update(_MASKS)
    conf.update({ours: config[key] for key, ours in keys.items() if key in config})
    return conf


def _encoder(found: Directory, conf: Dict[str, Any], state: State) -> State:
    """Return the weights of our encoder.

    Raises:
        UserError: Some are missing, or have another shape.
    """
    encoder = Wav2Vec2Encoder(**conf)
    sizes = {key: conf[key] for key in sizes_of(found.config)}
    said = f"--model {found.path}: {found.weights.name}"
    remedy = "; it does not fit config.json beside it: save the whole model there"
    load_state(encoder, state, speech_model(conf["model"], sizes), said, remedy)
    return {f"encoder.{key}": value for key, value in encoder.state_dict().items()}


def _head(found: Directory, rows: List[int], state: State) -> State:
    """Return the weights of ESPnet's CTC.

    Args:
        found: The directory.
        rows: Row of each token in the head there, -1 for none.
        state: The weights there.

    Raises:
        UserError: There is no head, or one of another size.
    """
    head = {key: state.get(f"{HEAD}.{key}") for key in ("weight", "bias")}
    size = len(found.tokens)
    if any(part is None or len(part) != size for part in head.values()):
        raise UserError(
            f"--model {found.path}: {found.weights.name} has no {HEAD} with a row for "
            f"each of the {size} tokens of vocab.json; give a model that was trained "
            "by CTC, with its own processor"
        )
    mean = {key: part.mean(0, keepdim=True) for key, part in head.items()}
    mean["bias"] -= BELOW
    whole = {key: torch.cat([part, mean[key]]) for key, part in head.items()}
    return {f"ctc.ctc_lo.{key}": part[rows] for key, part in whole.items()}


def _config(tokens: List[str], conf: Dict[str, Any]) -> Dict[str, Any]:
    """Return the content of config.yaml, complete for ESPnet's own commands."""
    from espnet_prune.models import with_defaults

    ours: Dict[str, Any] = {
        "best_model_criterion": [["valid", "cer_ctc", "min"]],
        "token_list": tokens,
        "token_type": "char",
        "input_size": 1,
        "frontend": None,
        "specaug": None,
        "normalize": None,
        "encoder": "pruned_wav2vec2",
        "encoder_conf": conf,
        "decoder": None,
        "model_conf": {"ctc_weight": 1.0},
        # ESPnet's CTC drops in evaluation, too, so final_dropout is not taken over
        "ctc_conf": {"dropout_rate": 0.0, "zero_infinity": True},
    }
    return {**vars(with_defaults(ours)), **ours}
