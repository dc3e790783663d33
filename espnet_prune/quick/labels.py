# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a training of some tasks wants beside speech and text, as a source text."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

from espnet_prune.data.calibration import Audio
from espnet_prune.data.speech import entries_of
from espnet_prune.data.tables import Table, read_table, write_table
from espnet_prune.model_files import home_of
from espnet_prune.source import Source
from espnet_prune.tasks import task_of
from espnet_prune.utils import PathLike, UserError


def check_heard(audio: Audio, config: Mapping[str, Any], what: str) -> None:
    """Refuse audio without text where a model cannot take its own text for it.

    Args:
        audio: What is trained on.
        config: config.yaml of the model.
        what: The option that it was given by, for errors.

    Raises:
        UserError: There is no text, and what the model's CTC hears is not it, or is
            not all that the training wants.
    """
    task = task_of(config)
    if not audio.labelled and (not task.spells or len(task.labels(config)) > 1):
        wanted = " and ".join(task.labels(config))
        raise UserError(
            f"--recover: {what}: has no text, and a training of task {task.name} wants "
            f"{wanted}; give --text, or leave --recover out"
        )


def find_labels(
    audio: Audio, config: Mapping[str, Any], source: Source, beside: List[PathLike]
) -> Dict[str, Table]:
    """Find what a training wants beside speech and text, for every utterance.

    A table is looked for beside the audio, under its name or the one that it had in the
    training of the model, and where that training had it.

    Args:
        audio: The utterances.
        config: config.yaml of the model.
        source: The model's files.
        beside: Directories where tables may be.

    Returns:
        Tables by the name of what they hold.

    Raises:
        UserError: There is no table of all utterances.
    """
    task = task_of(config)
    found: Dict[str, Table] = {}
    for name in task.labels(config)[1:]:
        for path in _places(name, config, source, beside):
            table = read_table(path)
            if all(table.get(key) for key in audio.speech):
                found[name] = {key: table[key] for key in audio.speech}
                break
        else:
            raise UserError(
                f"--recover: a training of task {task.name} wants {name}, and no table "
                f"of it has all {len(audio.speech)} utterances; write lines of "
                f"UTTERANCE TEXT to {Path(beside[0]) / name}, or leave --recover out"
            )
    return found


def _places(
    name: str, config: Mapping[str, Any], source: Source, beside: List[PathLike]
) -> Iterator[Path]:
    """Yield files that may be the table of a name, the likely ones first."""
    trained = [Path(p) for p, n, _ in entries_of(config, "train") if n == name]
    names = dict.fromkeys([name, *(path.name for path in trained)])
    places = [Path(folder) / own for folder in beside for own in names]
    for path in trained:
        home = None if path.is_absolute() else home_of(source.config, path)
        places += [path, *([home / path] if home else [])]
    yield from (path for path in places if path.is_file())


def write_labels(
    tables: Mapping[str, Table], keys: List[str], folder: Path
) -> List[Any]:
    """Write tables of some utterances; return (path, name, type) as ESPnet takes them.

    Args:
        tables: See `find_labels`.
        keys: The utterances.
        folder: Where they go.
    """
    entries = []
    for name, table in tables.items():
        write_table(folder / name, {key: table[key] for key in keys})
        entries.append((str(folder / name), name, "text"))
    return entries
