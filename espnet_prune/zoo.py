# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What model zoos pack: archives, directories and tags of ESPnet's and espnet3's.

The archive of ESPnet names the files of its model by task. The bundle of espnet3 holds
an experiment, and configs that say where.
"""

import contextlib
import os
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple

import numpy as np

from espnet_prune.checkpoints import read_weights
from espnet_prune.model_files import find_checkpoint, home_of, own_files
from espnet_prune.tasks import TASKS
from espnet_prune.utils import (
    UserError,
    atomic_write,
    read_mapping,
    sha256,
    whole_directory,
    write_yaml,
)

META = "meta.yaml"
_ROOT = "${recipe_dir}"  # as espnet3 writes where a bundle lies


class Source(NamedTuple):
    """The two files of a model."""

    config: Path
    model_file: Path


def unpacked(archive: Path, folder: Path, forms: str) -> Path:
    """Unpack an archive, unless that is done; what is there is whole.

    Args:
        archive: A file.
        folder: Where it gets a directory of its own.
        forms: What could be given instead, for errors.

    Returns:
        The directory that has meta.yaml.

    Raises:
        UserError: It is no archive, is damaged, or holds no model.
    """
    if not zipfile.is_zipfile(archive):
        raise UserError(f"--model {archive}: not an archive; give {forms}")
    folder = folder / sha256(archive)[:12]
    try:
        with zipfile.ZipFile(archive) as content:
            inside = _root_of(content.namelist(), archive)
            if not folder.is_dir():
                with whole_directory(folder) as part:
                    content.extractall(part)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"--model {archive}: the archive is damaged ({error}); copy it again"
        ) from error
    return folder / inside


def _root_of(names: Any, archive: Path) -> Path:
    """Return the folder of meta.yaml in an archive: the top, or the only one there."""
    tops = {Path(name).parts[0] for name in names if Path(name).parts}
    if META in names:
        return Path()
    if len(tops) == 1 and f"{min(tops)}/{META}" in names:
        return Path(min(tops))
    raise UserError(
        f"--model {archive}: not an archive of ESPnet's model zoo, which has {META}; "
        "unpack it, and give the experiment directory"
    )


def of_meta(folder: Path, what: str, place: Path) -> Source:
    """Return the files that an unpacked archive or bundle names.

    Args:
        folder: Where it is.
        what: What was given, for errors.
        place: Where what a bundle lacks is written.

    Raises:
        UserError: It names no model, or one that is not in it.
    """
    meta = read_mapping(folder / META)
    named: Dict[str, Any] = {}
    for key in ("yaml_files", "files"):
        if not isinstance(meta.get(key) or {}, dict):
            raise UserError(f"--model {what}: {key} of {META} does not name files")
        named.update(meta.get(key) or {})
    files = {key: folder / str(path) for key, path in named.items()}
    if "training_config" in files or "inference_config" in files:
        return _with_statistics(_of_bundle(folder, files, what), place)
    return of_files(files, what)


def of_files(files: Mapping[str, Any], what: str) -> Source:
    """Return the two files among those that the model zoo names, by task.

    Raises:
        UserError: There is no model of a task whose models can be pruned, or a file
            is missing.
    """
    prefixes = dict.fromkeys(task.prefix for task in TASKS.values() if task.prefix)
    for prefix in prefixes:
        keys = f"{prefix}_train_config", f"{prefix}_model_file"
        if all(key in files for key in keys):
            return _there([Path(str(files[key])) for key in keys], what)
    raise UserError(
        f"--model {what}: names no model of the tasks {', '.join(prefixes)}, but "
        f"{', '.join(sorted(files)) or 'nothing'}"
    )


def _there(paths: Any, what: str) -> Source:
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise UserError(f"--model {what}: {missing} is missing in it")
    return Source(*paths)


def _of_bundle(folder: Path, files: Mapping[str, Path], what: str) -> Source:
    """Return the files of a bundle of espnet3: those it decodes with, if it says so."""

    def inside(value: Any) -> Path:
        return folder / str(value).replace(f"{_ROOT}/", "")

    if "inference_config" in files:
        model = read_mapping(files["inference_config"]).get("model") or {}
        keys = "asr_train_config", "asr_model_file"
        if isinstance(model, dict) and all(key in model for key in keys):
            return _there([inside(model[key]) for key in keys], what)
    if "training_config" in files:
        exp = inside(read_mapping(files["training_config"]).get("exp_dir"))
        if (exp / "config.yaml").is_file():
            return Source(exp / "config.yaml", find_checkpoint(exp))
    raise UserError(
        f"--model {what}: a bundle of espnet3 without an experiment of its task "
        "esp2_asr; give the experiment directory"
    )


def _with_statistics(source: Source, place: Path) -> Source:
    """Write the statistics of features from the weights, if they were not packed.

    espnet3 packs the experiment, and leaves out what it has for several. The config is
    then written anew, and names the file.
    """
    config = read_mapping(source.config)
    stats = (config.get("normalize_conf") or {}).get("stats_file")
    if config.get("normalize") != "global_mvn" or home_of(source.config, str(stats)):
        return source
    state = read_weights(source.model_file)
    if not {"normalize.mean", "normalize.std"} <= set(state):
        return source
    mean, std = (state[f"normalize.{name}"].double() for name in ("mean", "std"))
    folder = place / sha256(source.model_file)[:12]
    found = own_files(config, source.config)
    path = os.path.abspath(folder / "feats_stats.npz")
    sums = {"count": 1, "sum": mean.numpy(), "sum_square": (std**2 + mean**2).numpy()}
    with atomic_write(path, "wb") as stream:
        np.savez(stream, **sums)
    found["normalize_conf"] = {**found["normalize_conf"], "stats_file": path}
    write_yaml(found, folder / "config.yaml")
    return Source(folder / "config.yaml", source.model_file)


def downloaded(tag: str, forms: str) -> Any:
    """Return what a tag stands for, by ESPnet's own downloader or from the hub.

    Args:
        tag: Such as espnet/NAME.
        forms: What could be given instead, for errors.

    Returns:
        The directory that the hub has, or the files of a model by their names.

    Raises:
        UserError: Neither is installed, or none has it or can be asked.
    """
    failed, cache = None, None
    with contextlib.redirect_stdout(sys.stderr):
        try:
            from espnet_model_zoo.downloader import ModelDownloader

            zoo = ModelDownloader()
            cache = getattr(zoo, "cachedir", None)  # nothing is fetched twice
            files = zoo.download_and_unpack(tag)
            if not {"training_config", "inference_config"} & set(files):
                return files
        except ImportError:
            pass
        except Exception as error:  # whatever the network and the hub say
            failed = error
        try:
            from huggingface_hub import snapshot_download

            return Path(snapshot_download(tag, cache_dir=cache))
        except ImportError as error:
            if failed is None:
                raise UserError(
                    f"--model {tag}: no such file or directory; if it is a tag of "
                    "ESPnet's model zoo, pip install espnet_model_zoo, or download its "
                    "archive and give that"
                ) from error
        except Exception as error:
            failed = error
    raise UserError(
        f"--model {tag}: neither here nor found by espnet_model_zoo and the hub "
        f"({type(failed).__name__}: {' '.join(str(failed).split())[:200]}); look at "
        f"its name and your network, or give {forms}"
    ) from failed
