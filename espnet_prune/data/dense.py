# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The data of a model that was trained elsewhere: named, linked, or replaced."""

import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from espnet_prune.data.tables import audio_kind, read_rows
from espnet_prune.model_files import DEFAULT, find_checkpoint, home_of, own_files, same
from espnet_prune.utils import UserError, atomic_link, atomic_write, write_changed

_FILES = ("data_path_and_name_and_type", "shape_file")


def is_trained_here(exp: Path) -> bool:
    """Say whether a recipe of ours has begun to train a model in its directory."""
    return (exp / ".begun_stage11").is_file()


def data_args(config: Dict[str, Any], name: str) -> List[str]:
    """Options of asr_train for the data of `config`.

    Raises:
        UserError: the config has no training data, or a file of it is missing.
    """
    words: List[str] = []
    for part in ("train", "valid"):
        for kind in _FILES:
            values = config.get(f"{part}_{kind}") or []
            if not values:
                raise UserError(
                    f"{name}: no {part}_{kind}, give the data in the recipe"
                )
            for value in values:
                value = [value] if isinstance(value, str) else list(value)
                if not Path(value[0]).exists():
                    raise UserError(
                        f"{name}: {part}_{kind} names {value[0]}, which is missing; "
                        "call this from the directory where the model was trained, or "
                        "run stages 1-10 here and give --own_data true"
                    )
                words += [f"--{part}_{kind}", ",".join(map(str, value))]
    for value in config.get("fold_length") or []:
        words += ["--fold_length", str(value)]
    return words


DATA = re.compile(r"(train|valid)_(data_path_and_name_and_type|shape_file)")


def paths(value: Any) -> Iterator[Path]:
    """Yield the relative paths in a config: words with a slash, and no blank."""
    if isinstance(value, dict):
        skipped = ("token_list", "output_dir")
        value = [part for key, part in value.items() if key not in skipped]
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from paths(part)
    elif isinstance(value, str) and "/" in value and len(value.split()) == 1:
        if not Path(value).is_absolute() and ".." not in Path(value).parts:
            yield Path(value)


def link(path: Path, home: Path, exp: Path, ours: Sequence[Path] = ()) -> Path:
    """Link the first folder of `path` that is missing here; returns it.

    Args:
        path: What is wanted here.
        home: Where it is.
        exp: Directory of the model; those above it are made, not linked.
        ours: Directories that we write to, made and not linked either.

    Raises:
        UserError: There is a link to nothing in its place.
    """
    for part in [*reversed(path.parents), path]:
        if part.exists():
            continue
        if part.is_symlink():
            raise UserError(f"{part} is a link to nothing; remove it")
        if home / part not in exp.resolve().parents and part not in ours:
            part.symlink_to(home / part)
            return part
        part.mkdir()
    return path


def link_files(config: Dict[str, Any], path: Path, ours: Sequence[Path]) -> None:
    """Link what a config names and is not here.

    Args:
        config: Content of config.yaml.
        path: The file.
        ours: See `link`.

    Raises:
        UserError: Other data than that of the model lies here under its names.
    """
    data = {p for key in config if DATA.fullmatch(key) for p in paths(config[key])}
    for name in paths(config):
        home = home_of(path, name)
        if home is None or home == Path.cwd():
            continue
        if not name.exists():
            made = link(name, home, path.parent, ours)
            print(f"{made} is now a link to {home / made}", file=sys.stderr)
        elif name in data and not same(name, home / name):
            raise UserError(
                f"{path}: {name} of this directory is another file than {home / name}, "
                "which the model was trained on; call this from another directory, or "
                "take the data that are prepared here (--own_data true)"
            )


class OwnData(NamedTuple):
    """Data that was prepared here, for a model that was trained on other.

    Attributes:
        train: Directory of the training set, with wav.scp and text.
        valid: Directory of the development set.
        stats: Directory of stage 10's statistics.
        fs: Sampling rate in Hz.
    """

    train: Path
    valid: Path
    stats: Path
    fs: int


def own_data(data: OwnData, config: Dict[str, Any], path: Path) -> Dict[str, Any]:
    """Return the keys of config.yaml that say which data is taken.

    Args:
        data: The data.
        config: Content of the model's config.yaml.
        path: The file.

    Raises:
        UserError: The model is for another sampling rate.
    """
    import humanfriendly

    rate = (config.get("frontend_conf") or {}).get("fs")
    if rate is not None and humanfriendly.parse_size(str(rate)) != data.fs:
        raise UserError(
            f"{path}: the model is for speech at {rate} Hz, and the data are "
            f"prepared at {data.fs} Hz; give --fs {humanfriendly.parse_size(str(rate))}"
        )
    taken: Dict[str, Any] = {"multiple_iterator": False}
    for part, folder in (("train", data.train), ("valid", data.valid)):
        taken[f"{part}_data_path_and_name_and_type"] = [
            [str(folder / "wav.scp"), "speech", _kind(folder / "wav.scp")],
            [str(folder / "text"), "text", "text"],
        ]
        shapes = ("speech_shape", f"text_shape.{config.get('token_type')}")
        stats = data.stats / part
        taken[f"{part}_shape_file"] = [str(stats / name) for name in shapes]
    return {**taken, "fold_length": [5 * data.fs, 150]}


def _kind(scp: Path) -> str:
    """Return the type of audio that a wav.scp names, as ESPnet calls it."""
    values = (value for _, _, value in read_rows(scp)) if scp.is_file() else ()
    return audio_kind(next(iter(values), ""))


def view(
    path: Path,
    config: Dict[str, Any],
    views: Path,
    checkpoint: Optional[str],
    data: Optional[OwnData],
) -> Path:
    """Return the directory of the recipe that stands for a model, made if needed.

    Args:
        path: config.yaml of the model.
        config: Its content.
        views: Where such directories are made.
        checkpoint: Name of the checkpoint, if it is given.
        data: Data of our own, if they are taken.

    Raises:
        UserError: See `find_checkpoint`; or the directory is another model's.
    """
    exp = path.parent
    model = find_checkpoint(exp, checkpoint)
    inside = Path.cwd() in exp.resolve().parents or is_trained_here(exp)
    good = inside and os.access(exp, os.W_OK) and data is None
    if good and model.name == (checkpoint or DEFAULT):
        return exp
    folder = views / exp.name
    target = folder / (checkpoint or DEFAULT)
    for old in folder.glob("*.pth"):
        if old.resolve().parent != model.resolve().parent:
            raise UserError(
                f"{folder} stands for another model, {old.resolve().parent}; remove "
                f"it, or give {exp} under another name (a link to it)"
            )
    config = own_files(config, path)
    if data is not None:
        config.update(own_data(data, config, path))
        with atomic_write(folder / "tokens.txt") as stream:
            stream.writelines(f"{token}\n" for token in config["token_list"])
    write_changed(config, folder / "config.yaml")
    atomic_link(os.path.abspath(model), target)
    print(f"{folder}: what is written about {model}", file=sys.stderr)
    return folder
