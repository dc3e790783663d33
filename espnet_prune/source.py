# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Where a model is: a directory of ESPnet or transformers, or of a model zoo."""

import os
from pathlib import Path

from espnet_prune.hugging_face.directory import is_saved
from espnet_prune.hugging_face.experiment import as_experiment
from espnet_prune.model_files import find_checkpoint
from espnet_prune.utils import UserError, atomic_link
from espnet_prune.zoo import META, Source, downloaded, of_files, of_meta, unpacked

_FORMS = (
    "an experiment directory (config.yaml and .pth), an archive of ESPnet's model zoo "
    "(.zip), a tag of it or of the hub, or the directory of a Hugging Face CTC model "
    "(config.json)"
)


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
            return of_meta(path, what, folder)
        if not (path / "config.yaml").is_file():
            raise UserError(f"--model {what}: has no config.yaml; give {_FORMS}")
        return Source(path / "config.yaml", find_checkpoint(path))
    if path.suffix in (".pth", ".ckpt") and path.is_file():
        config = path.parent / "config.yaml"
        if not config.is_file():
            raise UserError(f"--model {what}: there is no config.yaml beside it")
        return Source(config, path)
    if path.is_file():
        return of_meta(unpacked(path, folder, _FORMS), what, folder)
    if (
        path.is_absolute()
        or what.startswith(".")
        or path.suffix in (".zip", ".pth", ".ckpt")
    ):
        raise UserError(f"--model {what}: no such file or directory; give {_FORMS}")
    return _of_tag(what, folder)


def find_directory(what: str, folder: Path) -> Path:
    """Find a model as `find_model` does; return a directory that has both files.

    Args:
        what: See `find_model`.
        folder: See there; a config that was written there gets a link to the weights.

    Raises:
        UserError: See `find_model`.
    """
    config, model_file = find_model(what, folder)
    if config.parent != model_file.parent:
        atomic_link(os.path.abspath(model_file), config.parent / model_file.name)
    return config.parent


def _of_tag(tag: str, folder: Path) -> Source:
    found = downloaded(tag, _FORMS)
    if isinstance(found, Path):
        return find_model(str(found), folder)
    return of_files(found, tag)
