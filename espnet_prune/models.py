# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Build and load ESPnet models strictly.

ESPnet's own loader drops missing keys silently, so that a checkpoint under the wrong
config decodes with random weights. Everything here checks every key and shape.
"""

import argparse
import contextlib
import copy
import inspect
import logging
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import torch
from torch import nn

from espnet_prune.checkpoints import part_name, read_weights, without_adapters
from espnet_prune.encoders.adopted import adopted
from espnet_prune.encoders.torchaudio_hubert import as_ours
from espnet_prune.foreign import told
from espnet_prune.model_files import own_files
from espnet_prune.runtime.reader import check_types
from espnet_prune.state_dicts import load_strictly, state_problems, used_by
from espnet_prune.tasks import task_of, with_task
from espnet_prune.tensor_names import as_here, as_written
from espnet_prune.utils import PathLike, UserError, atomic_torch_save, read_yaml

# what names data in a config.yaml
_KINDS = {
    f"{split}_{name}": kind
    for split in ("train", "valid")
    for name, kind in (
        ("data_path_and_name_and_type", Optional[List[Tuple[str, str, str]]]),
        ("shape_file", Optional[List[str]]),
    )
}


def read_model_config(config: PathLike, task: Optional[str] = None) -> Dict[str, Any]:
    """Read the config.yaml of an ESPnet experiment; it names files where they are.

    A self-supervised front end of ESPnet is read as ours; see `adopted`.

    Args:
        config: The file.
        task: Name of its task; by default what it looks like, see `task_of`.

    Raises:
        UserError: The file is missing or does not describe a model that can be pruned,
            or one with adapters other than LoRA; see `own_files`.
    """
    args = read_yaml(config)
    if isinstance(args, dict):
        args = with_task(args, task)
        args = with_task(args, task_of(args, config).name)
    says = isinstance(args, dict) and task_of(args, config).says_tokens
    if not isinstance(args, dict) or says and "token_list" not in args:
        raise UserError(f"{config}: not the config.yaml of an ESPnet ASR experiment")
    kinds: Dict[str, Any] = dict(_KINDS, token_list=Union[str, List[str]])
    kinds.update({k: Optional[dict] for k in args if str(k).endswith("_conf")})
    check_types(args, kinds, str(config))
    if args.get("use_adapter"):
        kind = args.get("adapter") or "lora"
        if kind != "lora":
            raise UserError(
                f"{config}: adapter {kind} is not supported; merge it into the "
                "weights, and set use_adapter: false"
            )
        # its matrices are in the weights already, see `without_adapters`
        args["use_adapter"] = False
    return adopted(as_ours(own_files(args, config)), config)[0]


def with_defaults(config: Mapping[str, Any]) -> argparse.Namespace:
    """Return the options of an experiment, those that it lacks as ESPnet has them.

    A config.yaml of an older ESPnet does not know the options that came later.

    Args:
        config: Content of config.yaml.
    """
    task = task_of(config).espnet_class()
    # not `get_default_config`, which reads the command line of this process
    defaults = vars(task.get_parser().parse_args([]))
    return argparse.Namespace(**{**defaults, **config})


def build_model(args: Mapping[str, Any], where: PathLike = "config.yaml") -> nn.Module:
    """Build the ESPnet model that a config describes, with random weights.

    Published weights that the encoder or the front end was once made of (`weights` of
    `encoder_conf`, `frontend_conf`) are not read.

    Args:
        args: Content of config.yaml; pruned encoders are known.
        where: The file that it is from, for errors.

    Raises:
        UserError: The file of the feature statistics is not there, or ESPnet cannot
            build such a model.
    """
    stats = (args.get("normalize_conf") or {}).get("stats_file")
    if args.get("normalize") == "global_mvn" and not Path(str(stats)).is_file():
        raise UserError(
            f"normalize_conf: stats_file {stats} is not there; ESPnet keeps its path "
            "relative to the recipe, so call this from the recipe's directory"
        )
    task = task_of(args, where).espnet_class()
    args = dict(args)
    for key in ("encoder_conf", "frontend_conf"):
        if (args.get(key) or {}).get("weights") is not None:
            args[key] = {**args[key], "weights": None}
    if "body_conf" in (args.get("encoder_conf") or {}):
        # ESPnet writes into it, and into a default that all these encoders share
        args["encoder_conf"] = copy.deepcopy({"input_conf": {}, **args["encoder_conf"]})
    remedy = "give the config.yaml of a training, as it was written"
    with told(f"{where}: ESPnet cannot build this model", remedy, args):
        model = task.build_model(with_defaults(args))
    if not hasattr(model, "ctc"):  # as in models that could have one
        model.ctc = None
    if hasattr(getattr(model, "encoder", None), "dynamic_chunk_training"):
        # as in ESPnet's decoding: what is seen is not drawn anew each time
        model.encoder.dynamic_chunk_training = False
    return model


def load_pretrained(
    init_param: str,
    model: nn.Module,
    ignore_init_mismatch: bool = False,
    map_location: Any = "cpu",
) -> None:
    """Load what `--init_param` names, in place of ESPnet's function of that name.

    ESPnet leaves at random what the file lacks, and its releases from 202609 on what
    was renamed since, without a word. Here the part that is named is loaded whole.

    Args:
        init_param: FILE[:SOURCE[:TARGET[:EXCEPT]]], as ESPnet defines it: the tensors
            of FILE below SOURCE, but for those that begin with one of the prefixes in
            EXCEPT (names in the file, separated by commas), go below TARGET.
        model: What is loaded into; what hooks have added is in no file.
        ignore_init_mismatch: Leave out what does not fit, and say what.
        map_location: Not used; tensors are copied to where the model is.

    Raises:
        UserError: The file is missing, holds more than tensors, or does not fit.
    """
    path, source, target, excepted = (init_param.split(":", 3) + [""] * 3)[:4]
    state = without_adapters(read_weights(path), path)
    source = part_name(source, state)
    names = [part_name(name, state) for name in excepted.split(",") if name]
    given, wanted = (f"{name}." if name else "" for name in (source, target))
    leave = tuple(names) or ("\0",)
    own = model.state_dict()
    named = {wanted + k[len(given) :]: k for k in state if k.startswith(given)}
    named = as_here(named, own.keys())
    left = {key for key, name in named.items() if name.startswith(leave)}
    left |= {key for key in own if (given + key[len(wanted) :]).startswith(leave)}
    state = {key: state[name] for key, name in named.items() if key not in left}
    state = used_by(model, state, path)
    hooks = [h.name for h in getattr(model, "hooks", ()) if h.module is not None]
    added = tuple(f"{name}." for name in hooks)
    part = {
        key: value
        for key, value in own.items()
        if key.startswith(wanted) and not key.startswith(added) and key not in left
    }
    problems = state_problems(part, state)
    if problems and not ignore_init_mismatch:
        raise UserError(
            f"--init_param {init_param}: {path} {'; '.join(problems)}; name the part "
            "that it is for, as in FILE:encoder:encoder, or give "
            "--ignore_init_mismatch true"
        )
    if problems:
        logging.warning(f"--init_param {init_param}: {path} {'; '.join(problems)}")
    fits = {k: v for k, v in state.items() if k in part and part[k].shape == v.shape}
    model.load_state_dict({**own, **fits}, strict=True)


def save_model(model: nn.Module, path: PathLike) -> None:
    """Write the weights of a model under the names that every release loads."""
    atomic_torch_save(as_written(model, model.state_dict()), path)


def _note_frontend(model: nn.Module, args: Mapping[str, Any]) -> None:
    """Say that a self-supervised frontend stays as it is, and why.

    Raises:
        UserError: There is no encoder but that frontend.
    """
    from espnet_prune.families.base import refuse_frontend

    if getattr(model, "encoder", None) is None:
        refuse_frontend(model)
    _, why = adopted(args)
    if why:
        logging.warning(
            f"{why}; it stays whole, and is not counted. docs/self_supervised.md says "
            "which front ends are pruned"
        )


def load_model(
    config: PathLike, model_file: PathLike, task: Optional[str] = None
) -> Tuple[nn.Module, dict]:
    """Build a model and load its weights, every key and every shape.

    Args:
        config: Its config.yaml.
        model_file: Its checkpoint.
        task: ESPnet's name of its task, e.g. "st"; by default what the config looks
            like.

    Returns:
        The model of ESPnet in eval mode, and the content of its config.

    Raises:
        UserError: A file is missing or corrupt, the two do not belong together, a
            weight is not finite, or there is no encoder behind a self-supervised
            frontend.
    """
    args = read_model_config(config, task)
    state = read_weights(model_file)
    model = build_model(args, config)
    remedy = "give the config and the checkpoint of one experiment"
    load_strictly(model, state, str(model_file), f" under {Path(config)}; {remedy}")
    _note_frontend(model, args)
    return model.eval(), args


# what a model is told of an utterance where nothing is known, as ESPnet decodes it: no
# language, recognition, no text before; POWSM has other words for it
_LANGUAGES, _TASKS = ("<nolang>", "<unk>"), ("<asr>", "<pr>")


def prompted(
    model: nn.Module, batch: Mapping[str, torch.Tensor]
) -> Dict[str, torch.Tensor]:
    """Return a batch with all that a model of tasks s2t and s2t_ctc takes.

    Args:
        model: Any model of ESPnet; those of other tasks are told nothing.
        batch: Utterances (N); what is in it stays.

    Raises:
        UserError: The model has no tokens for that.
    """
    if getattr(model, "na", None) is None:
        return dict(batch)
    rows, names = len(batch["speech"]), model.token_list
    told = {"text_prev": [model.na]}
    if hasattr(model, "prompt_encoder"):
        try:
            told["prefix"] = [
                names.index(next(symbol for symbol in symbols if symbol in names))
                for symbols in (_LANGUAGES, _TASKS)
            ]
        except StopIteration:
            raise UserError(
                "token_list: no <nolang> and no <asr>; this is no model of task s2t_ctc"
            ) from None
    more = {
        key: batch["speech"].new_tensor([ids] * rows, dtype=torch.long)
        for key, ids in told.items()
    }
    if "text" in batch:  # of recognition it is what CTC spells
        more["text_ctc"] = batch["text"]
    for key, value in list(more.items()):
        most = batch.get("text_lengths") if key == "text_ctc" else None
        length = value.new_full((rows,), value.shape[1]) if most is None else most
        more[f"{key}_lengths"] = length
    return {**more, **batch}


def encoded(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> Tuple[Any, Any]:
    """Return what a model's encoder makes of a batch, and its lengths.

    Args:
        model: A model of ESPnet.
        batch: speech (N, L), speech_lengths (N,), and maybe more, see `prompted`.
    """
    takes = inspect.signature(model.encode).parameters
    given = prompted(model, batch).items()
    return model.encode(**{key: value for key, value in given if key in takes})[:2]


@contextlib.contextmanager
def loss_only(model: nn.Module) -> Iterator[None]:
    """Keep a model in eval mode from decoding beside its loss."""
    names = [f"{kind}error_calculator" for kind in ("", "asr_", "mt_")]
    names += ["error_calculator_trans", "report_cer", "report_wer"]
    kept = {name: getattr(model, name) for name in names if hasattr(model, name)}
    try:
        for name in kept:
            setattr(model, name, None)
        yield
    finally:
        for name, value in kept.items():
            setattr(model, name, value)
