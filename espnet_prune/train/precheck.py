# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Look at a training's inputs before the long work begins."""

import argparse
import importlib.util
import inspect
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from espnet_prune.data.entries import (
    check_entries,
    check_same_utterances,
    check_text,
    read_plain,
)
from espnet_prune.data.tables import has_mark, read_lines, read_table
from espnet_prune.symbols import read_symbols
from espnet_prune.train.extensions import extensions
from espnet_prune.utils import UserError, check_keys, nearest

_TOKEN_LISTS = ("token_list", "src_token_list", "transcript_token_list")


def _check_tokens(path: str, option: str) -> None:
    """Check a token list: ESPnet takes a mark for a part of the first token."""
    if has_mark(path):
        raise UserError(f"--{option} {path}: begins with a byte order mark; remove it")
    for _ in read_lines(path):
        pass


def _missing_options(args: argparse.Namespace) -> List[str]:
    """Return the options of data that a training needs and does not have."""
    missing = []
    for split in ("train", "valid"):
        if not getattr(args, f"{split}_data_path_and_name_and_type"):
            missing.append(f"--{split}_data_path_and_name_and_type PATH,NAME,TYPE")
        kind = (split == "valid" and args.valid_batch_type) or args.batch_type
        lengths = args.iterator_type == "sequence" and kind != "unsorted"
        if not getattr(args, f"{split}_shape_file") and (lengths or args.collect_stats):
            missing.append(f"--{split}_shape_file FILE")
    return missing


def check_data(args: argparse.Namespace, needed: Sequence[str] = ("text",)) -> None:
    """Check that every data file exists and says something, about all utterances.

    Args:
        args: The options of the training.
        needed: What its task wants beside speech, where labels are needed.

    Raises:
        UserError: An option that says which data is missing, a list, a file in a list,
            or a shape file is missing, is not UTF-8, has an utterance twice or lacks
            one; an utterance has no text, or there is no text at all where labels are
            needed.
    """
    missing = _missing_options(args)
    if missing:
        raise UserError(f"the training lacks data; give {', '.join(missing)}")
    labels = args.collect_stats or all(e.labels(args) for e in extensions())
    for split in ("train", "valid"):
        option = f"--{split}_data_path_and_name_and_type"
        names = [name for _, name, _ in getattr(args, option[2:]) or []]
        missing = [name for name in needed if name not in names]
        if labels and names and missing:
            more = " ".join(f"PATH,{name},text" for name in missing)
            raise UserError(
                f"{option}: no {' and no '.join(missing)} among {names}; add {more}, "
                "or set labels: false in distill_conf to learn from a teacher alone"
            )
        entries = getattr(args, option[2:]) or []
        tables = check_entries(entries, option)
        for path, name, kind in entries:
            told = kind == "text" and name in ("text", *needed)
            if told and Path(path) in tables:
                check_text(tables[Path(path)], Path(path), option)
        shapes = [Path(p) for p in getattr(args, f"{split}_shape_file") or []]
        for path in shapes:
            if not path.is_file():
                raise UserError(f"--{split}_shape_file {path}: no such file")
            tables[path] = read_plain(path, f"--{split}_shape_file")
        if shapes:
            check_same_utterances(tables, shapes[0])


def check_files(args: argparse.Namespace) -> None:
    """Check the single files that options name.

    Raises:
        UserError: A file does not exist, the token list is not UTF-8, or symbols cannot
            be told from each other.
    """
    stats_file = (getattr(args, "normalize_conf", None) or {}).get("stats_file")
    lists = [n for n in _TOKEN_LISTS if isinstance(getattr(args, n, None), str)]
    named: List[Tuple[str, Any]] = [
        *((name, getattr(args, name)) for name in lists),
        ("bpemodel", args.bpemodel if args.token_type == "bpe" else None),
        ("normalize_conf stats_file=", stats_file if args.normalize else None),
        *(pair for extension in extensions() for pair in extension.files(args)),
    ]
    named += [("init_param", p.split(":")[0]) for p in args.init_param]
    for option, path in named:
        if path is not None and not Path(path).is_file():
            raise UserError(f"--{option} {path}: no such file")
    for name in lists:
        _check_tokens(getattr(args, name), name)
    if args.non_linguistic_symbols and args.token_type == "char":
        read_symbols(args.non_linguistic_symbols, args.token_type)


def check_raw_speech(args: argparse.Namespace) -> None:
    """Check speech that an encoder reads without a front end, or a model before it.

    Raises:
        UserError: Speech that is not at 16 kHz, or an utterance, listed in a shape
            file, that is too short for one frame.
    """
    name, conf = getattr(args, "encoder", None), args.encoder_conf
    if args.frontend == "pruned_ssl":
        name, conf = args.frontend, args.frontend_conf
    elif name != "pruned_wav2vec2":
        return
    from espnet_prune.encoders.speech_models import RATES, shortest_speech

    fs = (args.frontend_conf or {}).get("fs", 16000)
    if str(fs) not in RATES:
        raise UserError(
            f"frontend_conf: fs {fs} is not 16000, and {name} reads raw speech "
            "at 16 kHz; prepare the data with --fs 16000"
        )
    shortest = shortest_speech(conf or {})
    for split in ("train", "valid"):
        files = getattr(args, f"{split}_shape_file") or []
        table = read_table(files[0]) if files else {}
        for key, shape in table.items():
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
    for extension in extensions():
        extension.check(args)
    translates = hasattr(args, "src_token_list")
    scored = (getattr(args, "model_conf", None) or {}).get("report_bleu", True)
    if translates and scored and importlib.util.find_spec("nltk") is None:
        raise UserError(
            "model_conf: BLEU needs the package nltk; pip install nltk, or set "
            "report_bleu: false"
        )
