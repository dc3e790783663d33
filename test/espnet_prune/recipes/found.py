# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The models that ESPnet's recipes train: what of their configurations makes a model.

Two files are the same model if they differ in nothing but training: optimisers,
dropout, weights of losses.
"""

import functools
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import yaml

from espnet_prune.tasks import task_named, with_task
from espnet_prune.utils import UserError

VOCABULARY = 5000  # tokens; the recipes' shell says how many, their YAML does not
# which parts a model is made of, beside `NAME_conf` of each
PARTS = (
    "frontend",
    "preencoder",
    "encoder",
    "postencoder",
    "decoder",
    "model",
    "joint_net",
    "joint_network",
    "st_joint_net",
    "extra_asr_decoder",
    "extra_mt_decoder",
    "extra_mt_encoder",
    "md_encoder",
    "hier_encoder",
    "promptencoder",
    "deliberationencoder",
    "postdecoder",
    "adapter",
)
_MORE = ("input_size", "use_adapter", "use_lora", "lora_conf")
_TRAINING = re.compile(
    r"drop|lsm_weight|length_normalized|report_|^sym_|download_dir|freeze"
    r"|gradient_checkpoint|mask_(?!pad)|stochastic_depth|ignore_id"
)
# the directory of a recipe -> ESPnet's task that trains it; the first that fits
_FOLDERS = (
    ("asr2", "mt"),
    ("asr", "asr"),
    ("slu", "slu"),
    ("st", "st"),
    ("s2t", "s2t"),
)
LISTS = ("token_list", "src_token_list", "transcript_token_list")


def model_keys(conf: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what of a training's YAML makes the model."""
    found = {key: _said(conf[key]) for key in _MORE if key in conf}
    for part in PARTS:
        if part in conf:
            found[part] = _said(conf[part])
        own = conf.get(f"{part}_conf")
        if own:
            found[f"{part}_conf"] = _kept(own)
    return found


def _said(value: Any) -> Any:
    """Return what ESPnet's options take a word of a YAML for."""
    return None if str(value).lower() in ("none", "null", "nil") else value


def _kept(value: Any) -> Any:
    if isinstance(value, list):
        return [_kept(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {k: _kept(v) for k, v in value.items() if not _is_training(str(k), v)}


def _is_training(key: str, value: Any) -> bool:
    """Say whether an argument changes training alone.

    With CTC and a decoder it does not matter how much of either there is.
    """
    both = key == "ctc_weight" and 0 < value < 1
    return both or _TRAINING.search(key) is not None


def task_name(folder: str, conf: Mapping[str, Any]) -> str:
    """Return ESPnet's task of a recipe's directory, such as asr1, and a YAML of it."""
    name = next(task for start, task in _FOLDERS if folder.startswith(start))
    if name == "asr" and "body_conf" in (conf.get("encoder_conf") or {}):
        return "asr_transducer"
    return "s2t_ctc" if name == "s2t" and "promptencoder" in conf else name


def trainings(root: Path) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """Yield path, task and content of every training's YAML below `root`.

    Args:
        root: ESPnet's checkout, or its unpacked source archive.

    Raises:
        UserError: There is none.
    """
    found = False
    for path in sorted(root.glob("egs2/*/*/conf/**/*.yaml")):
        folder = path.relative_to(root).parts[2]
        if not folder.startswith(tuple(start for start, _ in _FOLDERS)):
            continue
        conf = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(conf, dict) and ("encoder" in conf or "encoder_conf" in conf):
            found = True
            yield str(path.relative_to(root)), task_name(folder, conf), conf
    if not found:
        raise UserError(
            f"{root} has no egs2/*/asr1/conf/*.yaml; give a checkout of ESPnet, or its "
            "unpacked source archive"
        )


def distinct(root: Path) -> List[Dict[str, Any]]:
    """Return the distinct models of all recipes: task, config, files, one of them.

    Raises:
        UserError: See `trainings`.
    """
    found: Dict[str, Dict[str, Any]] = {}
    for path, task, conf in trainings(root):
        config = model_keys(conf)
        key = yaml.safe_dump([task, config])
        entry = {"task": task, "config": config, "files": 0, "example": path}
        found.setdefault(key, entry)["files"] += 1
    return list(found.values())


def whole_config(
    task: str, config: Mapping[str, Any], tokens: List[str]
) -> Dict[str, Any]:
    """Return a config.yaml as ESPnet's task writes it for a model.

    Args:
        task: Name of the task.
        config: What makes the model, see `model_keys`.
        tokens: Its vocabulary, and every other that it needs.

    Raises:
        UserError: Nothing of the task's models can be removed.
    """
    known = _options(task)
    lists = {key: tokens for key in LISTS if key in known}
    # feature statistics change no size, and are a file
    return with_task({**known, **lists, "normalize": None, **config}, task)


@functools.lru_cache(None)
def _options(task: str) -> Dict[str, Any]:
    """Return the options of a task as they are where nothing is said."""
    stock = task_named(task, "egs2").espnet_class()
    return vars(stock.get_parser().parse_args([]))
