# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Where the files of a model are: its checkpoint, and what its config.yaml names.

ESPnet writes paths relative to the directory of the training. A model may lie anywhere,
and the current directory may have other files of the same names: those of the model's
own tree come first.
"""

import filecmp
import logging
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from espnet_prune.espnet3 import as_espnet2
from espnet_prune.utils import PathLike, UserError, read_yaml

# keys of config.yaml that name a file which belongs to the model
FILE_KEYS = (
    ("bpemodel",),
    ("src_bpemodel",),
    ("non_linguistic_symbols",),
    ("normalize_conf", "stats_file"),
)
ACC = "valid.acc"
DEFAULT = f"{ACC}.ave.pth"
ORDER = f"{DEFAULT}, valid.acc.ave_Nbest.pth, valid.acc.best.pth, model.pth"
_NO_WEIGHTS = ("checkpoint.pth", "gates.pth", "masks.pth", "projections.pth")


def homes(config: PathLike) -> List[Path]:
    """Return the folders to which paths in a config may be relative, nearest first.

    Those above the file itself come before those above a link to it.
    """
    path = Path(config)
    above = [*path.resolve().parents, *Path(os.path.abspath(path)).parents]
    return list(dict.fromkeys(above))


def home_of(config: PathLike, path: PathLike) -> Optional[Path]:
    """Return the folder to which `path` in a config.yaml is relative, if it exists."""
    return next((home for home in homes(config) if (home / path).exists()), None)


def same(one: Path, other: Path) -> bool:
    """Say whether two paths are one file or directory, or files of equal content."""
    if one.samefile(other):
        return True
    files = one.is_file() and other.is_file()
    return files and filecmp.cmp(one, other, shallow=False)


def own_files(args: Mapping[str, Any], config: PathLike) -> Dict[str, Any]:
    """Name the files that belong to a model by where they are.

    A path that is right here as it stands is left so. What is not in the model's tree
    is taken from the current directory, as ESPnet would, and that is said.

    Args:
        args: Content of config.yaml.
        config: The file.

    Raises:
        UserError: The sentencepiece model is not in the model's tree, and the one here
            has pieces that the model does not know; or tokens are in a file that is
            not there.
    """
    args = as_espnet2(args)
    if isinstance(args.get("token_list"), str):
        args["token_list"] = _tokens(Path(args["token_list"]), config)
    for *parents, key in FILE_KEYS:
        owner: Any = args
        for parent in parents:
            if owner.get(parent):
                owner[parent] = dict(owner[parent])
            owner = owner.get(parent) or {}
        path = owner.get(key)
        if path is None or str(path) == "none" or Path(path).is_absolute():
            continue
        home, here = home_of(config, path), Path(path)
        if home is None:
            if here.is_file():
                _taken_from_here(args, config, key, here)
        elif not here.exists():
            owner[key] = str(home / path)
        elif not same(here, home / path):
            logging.warning(
                f"{config}: {key} is {home / path}; {path} of this directory is "
                "another file"
            )
            owner[key] = str(home / path)
    return args


def _tokens(path: Path, config: PathLike) -> List[str]:
    """Read the tokens of a model whose config names their file, as espnet3's does."""
    home = home_of(config, path)
    if home is None:
        raise UserError(
            f"{config}: token_list {path} is neither beside the model nor in a folder "
            "above it; put the file there, or write its lines into token_list as a "
            "list"
        )
    return read_tokens(home / path)


def read_tokens(path: PathLike) -> List[str]:
    """Read a file with a token per line, as ESPnet does."""
    with open(path, encoding="utf-8") as stream:
        return [line.rstrip() for line in stream]


def _taken_from_here(
    args: Mapping[str, Any], config: PathLike, key: str, here: Path
) -> None:
    logging.info(
        f"{config}: {key} {here} is not beside the model, it is taken from here"
    )
    if key == "bpemodel" and args.get("token_type") == "bpe":
        unknown = sorted(set(pieces(here)) - set(args["token_list"]))
        if unknown:
            raise UserError(
                f"{config}: bpemodel {here} is not beside the model, and the file of "
                f"this name here belongs to another one, which has '{unknown[0]}'; "
                "put the model's own there"
            )


def pieces(path: Path) -> Iterator[str]:
    """Yield what a sentencepiece model makes of texts, but for its control symbols.

    Raises:
        UserError: The file cannot be read.
    """
    import sentencepiece

    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except RuntimeError as error:
        raise UserError(f"{path}: not a readable sentencepiece model") from error
    for number in range(model.get_piece_size()):
        if not (model.is_control(number) or model.is_unknown(number)):
            yield model.id_to_piece(number)


def find_checkpoint(folder: PathLike, name: Optional[str] = None) -> Path:
    """Return the checkpoint of an experiment that is taken.

    It is the one that is named; else the first that is there of valid.acc.ave.pth,
    valid.acc.ave_Nbest.pth with the largest N, valid.acc.best.pth and model.pth; else
    those of the criteria by which the training chose its epochs, in the same order;
    else the only one. Lightning's own (.ckpt) come after them: the only one that a
    criterion has, else the only one.

    Raises:
        UserError: It is not there, or there is nothing to choose by; what is there is
            named.
    """
    folder = Path(folder)
    if name is not None and (folder / name).is_file():
        return folder / name
    found = sorted(p.name for p in folder.glob("*.pth") if p.name not in _NO_WEIGHTS)
    found = found or sorted(p.name for p in folder.glob("*.ckpt"))
    taken = None
    if name is None:
        taken = next(_ranked(found, [ACC, *_criteria(folder)]), None)
    if taken is not None:
        return folder / taken
    there = f"it has {', '.join(found)}" if found else "it has no .pth file"
    wanted = f"no {name}" if name is not None else f"none of {ORDER}"
    raise UserError(
        f"{folder} has {wanted}; {there}: name one (--model_file, in a recipe "
        "--inference_asr_model)"
    )


def _criteria(folder: Path) -> List[str]:
    """Return what a training chose epochs by, as in the names of its checkpoints."""
    config = folder / "config.yaml"
    found = read_yaml(config) if config.is_file() else {}
    found = as_espnet2(found) if isinstance(found, dict) else {}
    rows = found.get("best_model_criterion")
    return [".".join(map(str, row[:2])) for row in rows or [] if isinstance(row, list)]


def _ranked(names: Sequence[str], criteria: Sequence[str]) -> Iterator[str]:
    for criterion in criteria:
        best = {
            int(found[1]): name
            for name in names
            for found in [
                re.fullmatch(rf"{re.escape(criterion)}\.ave_(\d+)best\.pth", name)
            ]
            if found
        }
        averages = [best[number] for number in sorted(best, reverse=True)]
        order = [f"{criterion}.ave.pth", *averages, f"{criterion}.best.pth"]
        order += ["model.pth"] if criterion == ACC else []
        yield from (name for name in order if name in names)
        own = [name for name in names if name.endswith(f"_{criterion}.ckpt")]
        yield from own if len(own) == 1 else ()
    if len(names) == 1:
        yield names[0]
