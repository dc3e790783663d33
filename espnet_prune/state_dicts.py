# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Weights into a model: every key and every shape, and only numbers."""

import logging
import re
from typing import Any, Dict, List, Mapping

import torch
from torch import nn

from espnet_prune.checkpoints import without_adapters
from espnet_prune.tensor_names import as_here
from espnet_prune.utils import UserError


def state_problems(own: Mapping[str, Any], state: Mapping[str, Any]) -> List[str]:
    """Return one sentence per kind of misfit between a model's tensors and others."""
    problems = []
    shapes = [
        k
        for k in own
        if k in state and own[k].shape != getattr(state[k], "shape", None)
    ]
    for text, keys in (
        ("lacks", sorted(own.keys() - state.keys())),
        ("has the unknown", sorted(state.keys() - own.keys())),
        ("has another shape for", sorted(shapes)),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            problems.append(f"{text} {keys[0]}{more}")
    return problems


def check_finite(state: Mapping[str, Any], source: str) -> None:
    """Refuse weights that are not numbers.

    Args:
        state: A state dict.
        source: Where it is from; the error begins with it.

    Raises:
        UserError: A tensor holds NaN or infinite values; it is named.
    """
    for name, tensor in state.items():
        if not torch.is_tensor(tensor) or not tensor.is_floating_point():
            continue
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            raise UserError(
                f"{source}: {wrong} of {tensor.numel()} values of {name} are not "
                "finite (NaN or infinite); its training has diverged, give an earlier "
                "checkpoint"
            )


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
        UserError: Something does not fit, or is not finite.
    """
    own = model.state_dict()
    state = used_by(model, as_here(without_adapters(state, source), own.keys()), source)
    problems = state_problems(own, state)
    if problems:
        if any(re.search(r"\blora_|\bbase_layer\.", key) for key in state):
            remedy = "; it has adapters: merge them into the weights, and give those"
        raise UserError(f"{source} {'; '.join(problems)}{remedy}")
    check_finite(state, source)
    model.load_state_dict(state, strict=True)


def used_by(model: nn.Module, state: Mapping[str, Any], source: str) -> Dict[str, Any]:
    """Leave out weights that ESPnet ignores, and name those of front ends as here.

    With ctc_weight 1.0 ESPnet builds no decoder, with 0.0 no CTC, whatever the config
    says; a checkpoint may be older than that choice. A front end that stands for
    another one says by `renamed` how the tensors of that one are called in it.

    Args:
        model: A model of ESPnet.
        state: A state dict for it.
        source: Where it is from, for the note.
    """
    for weight, part in ((1.0, "decoder"), (0.0, "ctc")):
        unused = [key for key in state if key.startswith(f"{part}.")]
        if (
            unused
            and getattr(model, "ctc_weight", None) == weight
            and getattr(model, part, model) is None
        ):
            logging.warning(
                f"{source}: {len(unused)} weights of the {part} are not used, since "
                f"ctc_weight is {weight}"
            )
            state = {key: value for key, value in state.items() if key not in unused}
    for name in ("frontend", "encoder"):
        renamed = getattr(getattr(model, name, None), "renamed", None)
        if renamed is not None:
            state = renamed(state, f"{name}.")
    return dict(state)
