# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Look at a training's inputs before the long work begins."""

import argparse
import inspect
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from espnet_prune.symbols import read_symbols
from espnet_prune.utils import UserError, check_keys, nearest

# text files of "key path" lines whose second column is a file
_FILE_TYPES = ("sound", "multi_columns_sound", "kaldi_ark", "npy")


def _lines(path: Path, option: str) -> Iterator[Tuple[str, str]]:
    """Yield (key, rest) of a Kaldi-style file."""
    with open(path, encoding="utf-8") as stream:
        try:
            for line in stream:
                if line.strip():
                    key, _, rest = line.strip().partition(" ")
                    yield key, rest.strip()
        except UnicodeDecodeError as error:
            raise UserError(f"{option} {path}: not a text file in UTF-8") from error


def _check_scp(path: Path, option: str, columns: bool = False) -> None:
    missing: List[str] = []
    total = 0
    for key, value in _lines(path, option):
        total += 1
        if not value:
            missing.append(f"{key} (no path)")
            continue
        if value.endswith("|") or value == "-":
            continue
        for file in value.split() if columns else [value]:
            name, _, offset = file.rpartition(":")
            name = name if name and offset.isdigit() else file
            if not Path(name).exists():
                missing.append(name)
    if missing:
        raise UserError(
            f"{option} {path}: {len(missing)} of {total} files do not exist, e.g. "
            + ", ".join(missing[:3])
        )
    if not total:
        raise UserError(f"{option} {path}: the file is empty")


def _check_text(path: Path, option: str) -> None:
    empty: List[str] = []
    total = 0
    for key, value in _lines(path, option):
        total += 1
        if not value:
            empty.append(key)
    if empty:
        raise UserError(
            f"{option} {path}: {len(empty)} of {total} utterances have empty text, "
            f"e.g. {', '.join(empty[:3])}; remove them"
        )
    if not total:
        raise UserError(f"{option} {path}: the file is empty")


def check_data(args: argparse.Namespace) -> None:
    """Check that every data file exists and says something.

    Raises:
        UserError: A list, a file in a list, or a shape file is missing, an utterance
            has no text, or there is no text at all where labels are needed.
    """
    labels = args.collect_stats or (args.distill_conf or {}).get("labels", True)
    for split in ("train", "valid"):
        option = f"--{split}_data_path_and_name_and_type"
        names = [name for _, name, _ in getattr(args, option[2:]) or []]
        if labels and names and "text" not in names:
            raise UserError(
                f"{option}: no text among {names}; add PATH,text,text, or set labels: "
                "false in distill_conf to learn from a teacher alone"
            )
        for path, name, kind in getattr(args, option[2:]) or []:
            path = Path(path)
            if not path.exists():
                raise UserError(f"{option} {path}: no such file")
            if not path.is_file():
                continue
            if kind in _FILE_TYPES:
                _check_scp(path, option, columns=kind.startswith("multi_columns"))
            elif kind == "text" and name.startswith("text"):
                _check_text(path, option)
        for path in getattr(args, f"{split}_shape_file") or []:
            if not Path(path).is_file():
                raise UserError(f"--{split}_shape_file {path}: no such file")


def check_files(args: argparse.Namespace) -> None:
    """Check the single files that options name.

    Raises:
        UserError: A file does not exist, or symbols cannot be told from each other.
    """
    stats_file = (getattr(args, "normalize_conf", None) or {}).get("stats_file")
    named: List[Tuple[str, Any]] = [
        ("token_list", args.token_list if isinstance(args.token_list, str) else None),
        ("bpemodel", args.bpemodel if args.token_type == "bpe" else None),
        ("normalize_conf stats_file=", stats_file if args.normalize else None),
        ("teacher_model", args.teacher_model),
        ("teacher_config", args.teacher_config),
    ]
    named += [("init_param", p.split(":")[0]) for p in args.init_param]
    for option, path in named:
        if path is not None and not Path(path).is_file():
            raise UserError(f"--{option} {path}: no such file")
    if args.non_linguistic_symbols and args.token_type == "char":
        read_symbols(args.non_linguistic_symbols, args.token_type)


def check_raw_speech(args: argparse.Namespace) -> None:
    """Check speech that an encoder reads without a front end.

    Raises:
        UserError: Speech that is not at 16 kHz, or an utterance, listed in a shape
            file, that is too short for one frame.
    """
    if args.encoder != "pruned_wav2vec2":
        return
    from espnet_prune.encoders.speech_models import RATES, shortest_speech

    fs = (args.frontend_conf or {}).get("fs", 16000)
    if str(fs) not in RATES:
        raise UserError(
            f"frontend_conf: fs {fs} is not 16000, and {args.encoder} reads raw speech "
            "at 16 kHz; prepare the data with --fs 16000"
        )
    shortest = shortest_speech(args.encoder_conf or {})
    for split in ("train", "valid"):
        files = getattr(args, f"{split}_shape_file") or []
        for key, shape in _lines(Path(files[0]), split) if files else ():
            size = shape.partition(",")[0]
            # while statistics are collected the file lists paths, not lengths
            if size.isdigit() and int(size) < shortest:
                raise UserError(
                    f"--{split}_shape_file {files[0]}: utterance {key} of {size} "
                    "samples gives no frame; leave out all that are shorter than "
                    f"{shortest} samples ({shortest / 16:.0f} ms)"
                )


def _parameters(function: Any) -> Tuple[List[str], bool]:
    found = inspect.signature(function).parameters.values()
    names = [
        p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    return names, any(p.kind is p.VAR_KEYWORD for p in found)


def check_confs(args: argparse.Namespace, task: type) -> None:
    """Check the keys of every `*_conf` against the class that receives them.

    Raises:
        UserError: Unknown key; the nearest known one is named.
    """
    from espnet2.tasks.abs_task import optim_classes, scheduler_classes

    found: Dict[str, Dict[str, Any]] = {
        choices.name: choices.classes for choices in task.class_choices_list
    }
    found.update(optim=optim_classes, scheduler=scheduler_classes)
    targets: Dict[str, Any] = {}
    for name, classes in found.items():
        given = getattr(args, name, None)
        if given is None or str(given).lower() in ("none", "null", "nil"):
            continue
        if given not in classes:
            raise UserError(
                f"{name}: no class is called '{given}'{nearest(given, classes)}; "
                f"known are {', '.join(sorted(classes))}"
            )
        targets[name] = classes[given]
    for name, target in targets.items():
        known, anything = _parameters(target)
        if not anything:
            given = getattr(args, f"{name}_conf", None) or {}
            check_keys(given, known, f"{name}_conf of {getattr(args, name)}")
    check_keys(args.l0_conf or {}, _gate_keys(), "l0_conf")


def _gate_keys() -> List[str]:
    """Return the arguments of `attach_gates`, through all its layers."""
    from espnet_prune.select.l0.gates import Gates, attach_gates
    from espnet_prune.select.l0.lagrangian import Lagrangian

    names = [
        name for f in (attach_gates, Gates, Lagrangian) for name in _parameters(f)[0]
    ]
    given = ("encoder", "graph", "targets", "one_sided")
    return [name for name in names if name not in given]
