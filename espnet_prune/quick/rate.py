# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How a dense model was trained: its top learning rate, and how much is in a batch."""

from typing import Any, Dict, Mapping, Tuple

from espnet_prune.measure.duration import rate_of

# rules whose learning rates mean the same
ADAMS = ("adam", "adamw", "adamax", "radam", "nadam")
USUAL = 1e-3  # for a model that was trained by another rule


def top_rate(config: Mapping[str, Any]) -> float:
    """Return the highest learning rate of a training.

    Args:
        config: Its config.yaml. The schedules of ESPnet that warm up reach `lr` of the
            rule, or say `max_lr`; Noam's has a formula.
    """
    conf = config.get("optim_conf") or {}
    schedule, own = config.get("scheduler"), config.get("scheduler_conf") or {}
    if str(config.get("optim")).lower() not in ADAMS:
        return USUAL
    rate = float(conf.get("lr") or USUAL)
    highest = own.get("max_lr") or own.get("warmup_lr_list")
    if schedule is None or highest is None:
        if schedule == "noamlr":
            size, steps = own.get("model_size", 320), own.get("warmup_steps", 25000)
            return rate * float(size) ** -0.5 * float(steps) ** -0.5
        return rate
    return float(max(highest) if isinstance(highest, (list, tuple)) else highest)


def rule_of(config: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
    """Return ESPnet's name of the rule of a training, and its options but the rate."""
    name = str(config.get("optim")).lower()
    if name not in ADAMS:
        return "adamw", {"weight_decay": 0.01}
    conf = config.get("optim_conf") or {}
    return name, {key: value for key, value in conf.items() if key != "lr"}


def batch_seconds(config: Mapping[str, Any], mean: float) -> float:
    """Return the seconds of speech that a training took a step on, roughly.

    Args:
        config: Its config.yaml.
        mean: Of an utterance, in seconds.
    """
    steps = config.get("accum_grad") or 1
    if config.get("batch_type") in ("numel", "length"):
        return steps * (config.get("batch_bins") or 1000000) / rate_of(config)
    return steps * (config.get("batch_size") or 20) * mean
