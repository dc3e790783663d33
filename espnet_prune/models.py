# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Build and load ESPnet models strictly.

ESPnet's own loader drops missing keys silently, so that a checkpoint under the wrong
config decodes with random weights. Everything here checks every key and shape.
"""

import argparse
import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from torch import nn

from espnet_prune.utils import PathLike, UserError, load_tensors, read_yaml


def read_model_config(config: PathLike) -> Dict[str, Any]:
    """Read the config.yaml of an ESPnet experiment.

    Raises:
        UserError: The file is missing or does not describe an ASR model.
    """
    args = read_yaml(config)
    if not isinstance(args, dict) or "token_list" not in args:
        raise UserError(f"{config}: not the config.yaml of an ESPnet ASR experiment")
    return args


def build_model(args: Mapping[str, Any]) -> nn.Module:
    """Build the ESPnet ASR model that a config describes, with random weights.

    Published weights that the encoder was once made of (`encoder_conf: weights`) are
    not read.

    Args:
        args: Content of config.yaml; pruned encoders are known.

    Raises:
        UserError: The file of the feature statistics is not there.
    """
    stats = (args.get("normalize_conf") or {}).get("stats_file")
    if args.get("normalize") == "global_mvn" and not Path(str(stats)).is_file():
        raise UserError(
            f"normalize_conf: stats_file {stats} is not there; ESPnet keeps its path "
            "relative to the recipe, so call this from the recipe's directory"
        )
    import espnet_prune

    espnet_prune.register()
    from espnet2.tasks.asr import ASRTask

    args = dict(args)
    if (args.get("encoder_conf") or {}).get("weights") is not None:
        args["encoder_conf"] = {**args["encoder_conf"], "weights": None}
    return ASRTask.build_model(argparse.Namespace(**args))


def state_problems(model: nn.Module, state: Mapping[str, Any]) -> List[str]:
    """Return one sentence per kind of misfit between a model and a state dict."""
    own, problems = model.state_dict(), []
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    for text, keys in (
        ("lacks", sorted(own.keys() - state.keys())),
        ("has the unknown", sorted(state.keys() - own.keys())),
        ("has another shape for", sorted(shapes)),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            problems.append(f"{text} {keys[0]}{more}")
    return problems


def load_strictly(
    model: nn.Module, state: Mapping[str, Any], source: str, remedy: str
) -> None:
    """Load a state dict, every key and every shape.

    Args:
        model: What is loaded into.
        state: The weights.
        source: Where they are from; the error begins with it.
        remedy: The end of the error, after what does not fit.

    Raises:
        UserError: Something does not fit.
    """
    problems = state_problems(model, state)
    if problems:
        raise UserError(f"{source} {'; '.join(problems)}{remedy}")
    model.load_state_dict(state, strict=True)


def _note_frontend(model: nn.Module) -> None:
    """Say that a self-supervised frontend is not part of the encoder.

    Raises:
        UserError: There is no encoder but that frontend.
    """
    from espnet_prune.units.dims import SSL_FRONTENDS, refuse_frontend

    if getattr(model, "encoder", None) is None:
        refuse_frontend(model)
    kind = type(getattr(model, "frontend", None)).__name__
    if kind in SSL_FRONTENDS:
        logging.warning(
            f"{kind} is no part of the encoder: it is neither counted nor pruned; see "
            "'Self-supervised encoders' in the README"
        )


def load_model(config: PathLike, model_file: PathLike) -> Tuple[nn.Module, dict]:
    """Build a model and load its weights, every key and every shape.

    Returns:
        The `ESPnetASRModel` in eval mode, and the content of its config.

    Raises:
        UserError: A file is missing or corrupt, the two do not belong together, or
            there is no encoder behind a self-supervised frontend.
    """
    args = read_model_config(config)
    state = load_tensors(model_file)
    model = build_model(args)
    remedy = "give the config and the checkpoint of one experiment"
    load_strictly(model, state, str(model_file), f" under {Path(config)}; {remedy}")
    _note_frontend(model)
    return model.eval(), args
