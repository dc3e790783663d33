# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The content of cost.json: what a model costs, at lengths that people know."""

from typing import Any, Dict, Mapping

from espnet_prune.measure.cost import cost
from espnet_prune.measure.duration import frames_of


def costs(
    structure: Any, config: Mapping[str, Any], model: Any = None
) -> Dict[str, Any]:
    """Return the content of cost.json.

    Args:
        structure: What is priced.
        config: config.yaml of its model, for the frames of some seconds.
        model: The whole model, if there is one.
    """
    found: Dict[str, Any] = {"encoder_params": cost(structure).params}
    for seconds in (10, 30):
        frames = frames_of(config, seconds)
        found[f"frames_{seconds}s"] = frames
        found[f"gmacs_{seconds}s"] = cost(structure, frames).macs / 1e9
    if model is not None:
        found["total_params"] = sum(p.numel() for p in model.parameters())
    return found
