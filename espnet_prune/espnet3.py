# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Experiments of espnet3, told as those of ESPnet 2.

espnet3 trains the models of ESPnet 2 under Lightning. Its config.yaml has the keys of
ESPnet 2, but with what they are by default where espnet3 has keys of its own: data,
preprocessing and the rule of the training are said there.
"""

from typing import Any, Dict, Mapping

TASK = "task"  # a class here, such as espnet3.systems.esp2_asr.task.ASRTask
# keys that only espnet3 knows, and that say nothing of the model
_OWN = (
    "_convert_",
    "collect_stats_batch_size",
    "collect_stats_train_mode",
    "create_dataset",
    "data_dir",
    "dataloader",
    "dataset",
    "dataset_dir",
    "exp_dir",
    "exp_tag",
    "fit",
    "num_device",
    "num_nodes",
    "optimizer",
    "optimizers",
    "parallel",
    "recipe_dir",
    "scheduler_interval",
    "scheduler_monitor",
    "schedulers",
    "stats_dir",
    "tokenizer",
    "trainer",
    "vocab_size",
)
# what its preprocessor calls keys of ESPnet 2
_PREPROCESSING = {
    "bpemodel": "bpemodel",
    "g2p_type": "g2p",
    "non_linguistic_symbols": "non_linguistic_symbols",
    "text_cleaner": "cleaner",
    "token_type": "token_type",
}


def is_of_espnet3(config: Mapping[str, Any]) -> bool:
    """Say whether a config.yaml was written by espnet3."""
    return "exp_dir" in config and "dataloader" in config


def as_espnet2(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a config as ESPnet 2 would have written it; such a one as it is.

    Args:
        config: Content of a config.yaml.

    Returns:
        The model's keys, with the preprocessing of its data and the rule that it was
        trained by. The task is still a class, see `tasks.task_of`.
    """
    if not is_of_espnet3(config):
        return dict(config)
    dropped = (*_OWN, *(key for key, name in _PREPROCESSING.items() if key != name))
    found = {key: value for key, value in config.items() if key not in dropped}
    given = _preprocessing(config)
    for key, name in _PREPROCESSING.items():
        if given.get(key) is not None:
            found[name] = given[key]
    options = config.get("preprocessor_conf") or {}
    found["preprocessor_conf"] = {k: given[k] for k in options if k in given}
    found["optim"], found["optim_conf"] = _class_and_conf(config.get("optimizer"))
    rule = _class_and_conf(config.get("scheduler"))
    found["scheduler"], found["scheduler_conf"] = rule
    found["best_model_criterion"] = [
        [*str(name).split("/"), mode]
        for name, _, mode in config.get("best_model_criterion") or []
    ]
    return {**found, **_batches(config)}


def _preprocessing(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the options of the preprocessor; that of validation, if there are two."""
    inner = (config.get("dataset") or {}).get("preprocessor") or {}
    return {**config, **inner, **(inner.get("valid") or {})}


def _batches(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what ESPnet 2 calls the sizes of batches."""
    loader = (config["dataloader"].get("train") or {}).get("iter_factory") or {}
    given = loader.get("batches") or {}
    names = {
        "type": "batch_type",
        "batch_size": "batch_size",
        "batch_bins": "batch_bins",
    }
    found = {name: given[key] for key, name in names.items() if key in given}
    found["accum_grad"] = (config.get("trainer") or {}).get(
        "accumulate_grad_batches", 1
    )
    return found


def _class_and_conf(given: Any) -> Any:
    """Return ESPnet 2's name of a class of torch or its own, and its options."""
    if not isinstance(given, Mapping) or "_target_" not in given:
        return None, {}
    conf = {key: value for key, value in given.items() if not key.startswith("_")}
    return str(given["_target_"]).rsplit(".", 1)[-1].lower(), conf
