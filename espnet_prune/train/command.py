# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The command line of a training: ESPnet's, completed from the model's config.yaml."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional

from espnet_prune.models import read_model_config
from espnet_prune.runtime.reader import check_types
from espnet_prune.tasks import ASR, KEY, task_named, task_of, with_task
from espnet_prune.train.task import PruneASRTask, task_class
from espnet_prune.utils import (
    UserError,
    as_number,
    check_gpus,
    nearest,
    read_mapping,
    write_yaml,
)

_EARLY = ("--config", "--base_config", "--output_dir", "--task")
# what makes the model of any task, as opposed to its training
_CLASSES = (
    "frontend",
    "specaug",
    "normalize",
    "preencoder",
    "encoder",
    "hier_encoder",
    "postencoder",
    "deliberationencoder",
    "promptencoder",
    "decoder",
    "postdecoder",
    "extra_asr_decoder",
    "extra_mt_decoder",
    "extra_mt_encoder",
    "md_encoder",
    "model",
    "preprocessor",
)
_TEXT = ("token_list", "token_type", "bpemodel", "g2p")
MODEL_KEYS = (
    *_TEXT,
    *(f"src_{name}" for name in _TEXT),
    "transcript_token_list",
    "non_linguistic_symbols",
    "cleaner",
    "input_size",
    "init",
    "ctc_conf",
    "joint_net_conf",
    "joint_network_conf",
    "st_joint_net_conf",
    "two_pass",
    "pre_postencoder_norm",
    "use_preprocessor",
    "speech_volume_normalize",
    "aux_ctc_tasks",
    "use_lang_prompt",
    "use_nlp_prompt",
    *_CLASSES,
    *(f"{name}_conf" for name in _CLASSES),
)


def merge_configs(base: Dict[str, Any], own: Dict[str, Any]) -> Dict[str, Any]:
    """Take model keys from `base` unless `own` has them.

    Args:
        base: The config.yaml of an experiment.
        own: The YAML of `--config`.

    Returns:
        dict: `own` completed; a `*_conf` present in both is merged key by key if the
        class that it belongs to is the same.
    """
    merged = {key: base[key] for key in MODEL_KEYS if key in base}
    if "weights" in (merged.get("encoder_conf") or {}):
        # published weights were for the first training; now --init_param has them
        merged["encoder_conf"] = {**merged["encoder_conf"], "weights": None}
    for key, value in own.items():
        kind = key[: -len("_conf")]
        same_class = kind not in own or own[kind] == base.get(kind)
        if (
            key.endswith("_conf")
            and same_class
            and isinstance(value, dict)
            and isinstance(merged.get(key), dict)
        ):
            value = {**merged[key], **value}
        merged[key] = value
    for kind in _CLASSES:
        if own.get(kind, base.get(kind)) != base.get(kind) and (
            f"{kind}_conf" not in own
        ):
            merged.pop(f"{kind}_conf", None)
    return merged


def task_in(cmd: List[str]) -> Any:
    """Return the class of the task that a command trains a model of.

    What says it: --task, `task` in the YAML, or the model of --base_config.

    Raises:
        UserError: There is no such task, or an unreadable file.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _EARLY:
        early.add_argument(name)
    args, _ = early.parse_known_args(cmd)
    own = read_mapping(args.config) if args.config is not None else {}
    name, base = args.task or own.get(KEY), args.base_config or own.get("base_config")
    if name is not None:
        where = "--task" if args.task else f"--config {args.config}"
        task = task_named(str(name), where)
    else:
        where = f"--base_config {base}"
        task = task_of(read_model_config(base)) if base else ASR
    if task.labels is None:
        raise UserError(
            f"{where}: a model of task {task.name} cannot be trained here; select by "
            "magnitude, and train what was cut with `python -m "
            f"espnet_prune.with_registry -m espnet2.bin.{task.name}_train`"
        )
    return task_class(task.name)


def get_parser(
    description: Optional[str] = None, task: Any = PruneASRTask
) -> argparse.ArgumentParser:
    """Return ESPnet's parser of a task with our options; errors become `UserError`."""
    parser = task.get_parser()
    parser.description = description
    parser.formatter_class = argparse.RawDescriptionHelpFormatter

    def error(message: str) -> NoReturn:
        raise UserError(message)

    parser.error = error
    return parser


def read_command(parser: argparse.ArgumentParser, cmd: List[str]) -> argparse.Namespace:
    """Parse the command, with the YAML completed from `--base_config`.

    Raises:
        UserError: Unknown key or option, or an unreadable file.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.error = parser.error
    for name in _EARLY:
        early.add_argument(name)
    args, rest = early.parse_known_args(cmd)
    own: Dict[str, Any] = {}
    dests = {action.dest for action in parser._actions}
    known = sorted(dests - {"help", "config"})
    if args.config is not None:
        own = read_mapping(args.config)
        own.pop(KEY, None)
        for key in own:
            if key not in known:
                raise UserError(
                    f"--config {args.config}: unknown key '{key}'{nearest(key, known)}"
                )
        kinds: Dict[str, Any] = {k: Optional[dict] for k in own if k.endswith("_conf")}
        kinds.update(dict.fromkeys((*_CLASSES, "optim", "scheduler"), Optional[str]))
        check_types(own, kinds, f"--config {args.config}")
    options = [f"--{key}" for key in (*known, "config", "help")]
    for word in rest:
        name = word.split("=", 1)[0]
        if name.startswith("--") and name not in options:
            raise UserError(f"unknown option {name}{nearest(name, options)}")
    base_config = args.base_config or own.get("base_config")
    if base_config is not None:
        base = read_model_config(base_config, args.task)
        base = {key: value for key, value in base.items() if key in dests}
        own = merge_configs(base, own)
    given = []
    with tempfile.TemporaryDirectory() as folder:
        if own:  # ESPnet's parser would take 1e-3 for text
            given = ["--config", str(Path(folder) / "merged.yaml")]
            write_yaml(own, given[1])
        if args.output_dir is not None:
            given += ["--output_dir", args.output_dir]
        parsed = parser.parse_args([*given, *rest])
    parsed.config = args.config
    if base_config is not None:
        parsed.base_config = str(base_config)
        weights = (parsed.frontend_conf or {}).get("weights") or parsed.init_param
        if parsed.frontend == "pruned_ssl" and not weights and not parsed.resume:
            logging.warning(
                f"--base_config {base_config}: the self-supervised front end begins "
                "with random weights; give --init_param with its checkpoint, or "
                "weights in frontend_conf"
            )
    for key, value in vars(parsed).items():
        if isinstance(value, dict):  # also of --optim_conf lr=1e-3
            setattr(parsed, key, as_number(value))
    return parsed


def train(cmd: List[str], description: Optional[str] = None) -> argparse.Namespace:
    """Train as a command line says; return its options.

    Args:
        cmd: The command line.
        description: What --help says.

    Raises:
        UserError: Bad input; nothing of an earlier training is overwritten.
    """
    from torch.multiprocessing import ProcessExitedException

    from espnet_prune.train import precheck

    task = task_in(cmd)
    args = read_command(get_parser(description, task), cmd)
    vars(args).update(with_task(vars(args), task.about.name))
    if not args.print_config:
        check_gpus(args.ngpu)
        precheck.check_files(args)
        precheck.check_confs(args, task)
        precheck.check_data(args, task.about.labels(vars(args)))
        precheck.check_raw_speech(args)
    try:
        task.main(args=args)
    except ProcessExitedException as error:
        if error.exit_code != 2:
            raise
        sys.exit(2)  # the rank has already told what is wrong
    return args
