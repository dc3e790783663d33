# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Where a model is: a directory of ESPnet or transformers, or of a model zoo."""

import contextlib
import sys
import zipfile
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from espnet_prune.hugging_face.directory import is_saved
from espnet_prune.hugging_face.experiment import as_experiment
from espnet_prune.model_files import find_checkpoint
from espnet_prune.tasks import TASKS
from espnet_prune.utils import UserError, read_mapping, sha256, whole_directory

META = "meta.yaml"
_FORMS = (
    "an experiment directory (config.yaml and .pth), an archive of ESPnet's model zoo "
    "(.zip), a tag of it, or the directory of a Hugging Face CTC model (config.json)"
)


class Source(NamedTuple):
    """The two files of a model."""

    config: Path
    model_file: Path


def find_model(what: str, folder: Path) -> Source:
    """Find a model, unpacking or downloading it if need be.

    Args:
        what: See above; or a checkpoint that is beside its config.yaml.
        folder: Where an archive is unpacked, and a model of transformers written as
            an experiment.

    Raises:
        UserError: There is no such model, none that is taken over, or no checkpoint
            to choose.
    """
    path = Path(what)
    if path.is_dir():
        if is_saved(path) and not (path / "config.yaml").is_file():
            path = as_experiment(path, folder)
        if (path / META).is_file() and not (path / "config.yaml").is_file():
            return _of_meta(path, what)
        if not (path / "config.yaml").is_file():
            raise UserError(f"--model {what}: has no config.yaml; give {_FORMS}")
        return Source(path / "config.yaml", find_checkpoint(path))
    if path.suffix in (".pth", ".ckpt") and path.is_file():
        config = path.parent / "config.yaml"
        if not config.is_file():
            raise UserError(f"--model {what}: there is no config.yaml beside it")
        return Source(config, path)
    if path.is_file():
        return _of_meta(_unpacked(path, folder / sha256(path)[:12]), what)
    if (
        path.is_absolute()
        or what.startswith(".")
        or path.suffix in (".zip", ".pth", ".ckpt")
    ):
        raise UserError(f"--model {what}: no such file or directory; give {_FORMS}")
    return _downloaded(what)


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack an archive, unless that is done; what is there is whole."""
    if not zipfile.is_zipfile(archive):
        raise UserError(f"--model {archive}: not an archive; give {_FORMS}")
    if (folder / META).is_file():
        return folder
    try:
        with zipfile.ZipFile(archive) as content:
            if META not in content.namelist():
                raise UserError(
                    f"--model {archive}: not an archive of ESPnet's model zoo, which "
                    f"has {META}; unpack it, and give the experiment directory"
                )
            with whole_directory(folder) as part:
                content.extractall(part)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"--model {archive}: the archive is damaged ({error}); copy it again"
        ) from error
    return folder


def _of_meta(folder: Path, what: str) -> Source:
    """Return the files that an unpacked archive names."""
    meta = read_mapping(folder / META)
    named = {**(meta.get("yaml_files") or {}), **(meta.get("files") or {})}
    return _named({key: folder / str(path) for key, path in named.items()}, what)


def _named(files: Mapping[str, Any], what: str) -> Source:
    """Return the two files among those that the model zoo names, by task."""
    prefixes = dict.fromkeys(task.prefix for task in TASKS.values() if task.prefix)
    for prefix in prefixes:
        keys = f"{prefix}_train_config", f"{prefix}_model_file"
        if all(key in files for key in keys):
            paths = [Path(str(files[key])) for key in keys]
            missing = next((path for path in paths if not path.is_file()), None)
            if missing:
                raise UserError(f"--model {what}: {missing} is missing in it")
            return Source(*paths)
    raise UserError(
        f"--model {what}: names no model of the tasks {', '.join(prefixes)}, but "
        f"{', '.join(sorted(files)) or 'nothing'}"
    )


def _downloaded(tag: str) -> Source:
    """Return the files of a tag, from ESPnet's own downloader.

    Raises:
        UserError: The downloader is not installed, or does not find it.
    """
    try:
        from espnet_model_zoo.downloader import ModelDownloader
    except ImportError as error:
        raise UserError(
            f"--model {tag}: no such file or directory; if it is a tag of ESPnet's "
            "model zoo, pip install espnet_model_zoo, or download its archive and "
            "give that"
        ) from error
    try:
        with contextlib.redirect_stdout(sys.stderr):
            files = ModelDownloader().download_and_unpack(tag)
    except Exception as error:  # whatever the network and the hub say
        raise UserError(
            f"--model {tag}: neither here nor found by espnet_model_zoo "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); give "
            f"{_FORMS}"
        ) from error
    return _named(files, tag)
