#!/usr/bin/env python3

# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make a model that was trained elsewhere usable here; print its sentencepiece model.

ESPnet's config.yaml names data, statistics and token lists relative to the directory of
the training. What is missing here and exists there is linked, at the first folder that
is missing: dump, data, exp/asr_stats_x. Nothing that exists here is touched, and the
folder of the experiments is not linked, results are written there.

With --views, a model that is not ours gets a directory VIEWS/NAME here, for what is
written about it: a config.yaml that names the model's own files where they are, and a
link to the checkpoint that is taken. That is so if the model lies outside the current
directory or cannot be written, its checkpoint has another name, or data of our own are
given for it. Printed before are then the directory to use and the type of its tokens.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence

from espnet_prune.data.tables import audio_kind, read_rows
from espnet_prune.model_files import DEFAULT, find_checkpoint, home_of, own_files, same
from espnet_prune.utils import (
    UserError,
    atomic_write,
    read_yaml,
    run_main,
    setup_logging,
    write_yaml,
)

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


def own_data(args: argparse.Namespace, config: Dict[str, Any]) -> Dict[str, Any]:
    """Return the keys of config.yaml that say which data is taken.

    Raises:
        UserError: The model is for another sampling rate.
    """
    import humanfriendly

    rate = (config.get("frontend_conf") or {}).get("fs")
    if rate is not None and humanfriendly.parse_size(str(rate)) != args.fs:
        raise UserError(
            f"{args.config}: the model is for speech at {rate} Hz, and the data are "
            f"prepared at {args.fs} Hz; give --fs {humanfriendly.parse_size(str(rate))}"
        )
    taken: Dict[str, Any] = {"multiple_iterator": False}
    for part, folder in (("train", args.train_dir), ("valid", args.valid_dir)):
        taken[f"{part}_data_path_and_name_and_type"] = [
            [str(folder / "wav.scp"), "speech", _kind(folder / "wav.scp")],
            [str(folder / "text"), "text", "text"],
        ]
        shapes = ("speech_shape", f"text_shape.{config.get('token_type')}")
        stats = args.stats_dir / part
        taken[f"{part}_shape_file"] = [str(stats / name) for name in shapes]
    return {**taken, "fold_length": [5 * args.fs, 150]}


def _kind(scp: Path) -> str:
    """Return the type of audio that a wav.scp names, as ESPnet calls it."""
    values = (value for _, _, value in read_rows(scp)) if scp.is_file() else ()
    return audio_kind(next(iter(values), ""))


def view(args: argparse.Namespace, config: Dict[str, Any]) -> Path:
    """Return the directory of the recipe that stands for a model, made if needed.

    Raises:
        UserError: See `find_checkpoint`; or the directory is another model's.
    """
    exp = args.config.parent
    model = find_checkpoint(exp, args.model)
    inside = Path.cwd() in exp.resolve().parents or (exp / ".begun_stage11").is_file()
    good = inside and os.access(exp, os.W_OK) and args.train_dir is None
    if good and model.name == (args.model or DEFAULT):
        return exp
    folder = args.views / exp.name
    target = folder / (args.model or DEFAULT)
    for old in folder.glob("*.pth"):
        if old.resolve().parent != model.resolve().parent:
            raise UserError(
                f"{folder} stands for another model, {old.resolve().parent}; remove "
                f"it, or give {exp} under another name (a link to it)"
            )
    config = own_files(config, args.config)
    if args.train_dir is not None:
        config.update(own_data(args, config))
        with atomic_write(folder / "tokens.txt") as stream:
            stream.writelines(f"{token}\n" for token in config["token_list"])
    if not (folder / "config.yaml").is_file() or (
        read_yaml(folder / "config.yaml") != config
    ):
        write_yaml(config, folder / "config.yaml")
    from espnet_prune.train.checkpoint import link as link_checkpoint

    link_checkpoint(os.path.abspath(model), target)
    print(f"{folder}: what is written about {model}", file=sys.stderr)
    return folder


def get_parser() -> argparse.ArgumentParser:
    """Return the command line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="config.yaml of an ASR model")
    parser.add_argument("--views", type=Path, help="see above")
    parser.add_argument("--model", help="name of the checkpoint")
    group = parser.add_argument_group("Data of our own")
    group.add_argument("--train_dir", type=Path, help="has wav.scp and text")
    group.add_argument("--valid_dir", type=Path)
    group.add_argument("--stats_dir", type=Path, help="of stage 10")
    group.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz")
    return parser


def main(cmd: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging("WARNING")
    config = read_yaml(args.config)
    if args.train_dir is None:
        link_files(config, args.config, args.views.parents if args.views else ())
    if args.views is not None:
        print(view(args, config))
        print(config.get("token_type"))
    if config.get("token_type") == "bpe" and config.get("bpemodel"):
        print(own_files(config, args.config)["bpemodel"])


if __name__ == "__main__":
    run_main(main)
