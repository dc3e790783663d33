# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A model's speech, with or without labels: chosen, and loaded as ESPnet would.

Utterances are loaded one by one: ESPnet's convolutions see the padding of a batch, so
that an utterance in a padded batch is another one than alone. Nothing is augmented.
"""

import contextlib
import logging
import random
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from espnet_prune.data.tables import read_table
from espnet_prune.models import with_defaults
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError

Entries = Sequence[Tuple[str, str, str]]
OPTION = "--eval_data_path_and_name_and_type"


def entries_of(config: Mapping[str, Any], part: str) -> Entries:
    """Return (path, name, type) of the "train" or "valid" data of a config.yaml."""
    given = config.get(f"{part}_data_path_and_name_and_type") or []
    return [tuple(entry) for entry in given]


def parse_entries(values: Optional[Sequence[str]], option: str = OPTION) -> Entries:
    """Split "PATH,NAME,TYPE" of the command line, if any are given.

    Raises:
        UserError: A value of another form.
    """
    entries = [tuple(value.split(",")) for value in values or ()]
    if any(len(entry) != 3 for entry in entries):
        raise UserError(
            f"{option} takes PATH,NAME,TYPE, e.g. dump/raw/dev/wav.scp,speech,sound"
        )
    return entries


def speech_entries(
    given: Optional[Sequence[str]], config: Mapping[str, Any], where: str
) -> Entries:
    """Return (path, name, type) of the speech, from the command line or the config.

    Raises:
        UserError: No speech among the data, a malformed entry, or a missing file.
    """
    where = "--data" if given else where
    entries = parse_entries(given, "--data") or entries_of(config, "train")
    speech = [(str(p), n, t) for p, n, t in entries if n == "speech"]
    if not speech:
        raise UserError(f"{where} has no data named speech; give --data")
    for path, _, _ in speech:
        if not Path(path).exists():
            raise UserError(
                f"{path} ({where}) is not there; ESPnet keeps paths relative to the "
                "recipe, so call this from the recipe's directory, or give --data"
            )
    return speech


def check_labelled(entries: Entries, config: Mapping[str, Any]) -> None:
    """Refuse data that cannot judge a model: missing, unlabelled, or trained on.

    Raises:
        UserError: A file is missing, speech or text is not among the data, or an
            utterance id is in the training set too.
    """
    names = {entry[1]: entry[0] for entry in entries}
    for name in ("speech", "text"):
        if name not in names:
            raise UserError(
                f"eval data: no '{name}' among {[e[0] for e in entries]}; the search "
                f"needs labelled speech, give {OPTION}"
            )
        if not Path(names[name]).is_file():
            raise UserError(
                f"eval data: {names[name]} is missing; call this from the recipe's "
                f"directory or give {OPTION}"
            )
    paths = [path for path, n, _ in entries_of(config, "train") if n == "text"]
    if not paths or not Path(paths[0]).is_file():
        logging.warning("The training data is not here: overlap is not checked")
        return
    shared = read_table(names["text"]).keys() & read_table(paths[0]).keys()
    if shared:
        raise UserError(
            f"eval data: {names['text']} shares {len(shared)} utterances with the "
            f"training data {paths[0]}, e.g. {min(shared)}; choose blocks on a set "
            "that the model was not trained on"
        )


def open_speech(
    entries: Entries, config: Mapping[str, Any], labels: bool
) -> Tuple[Any, Any]:
    """Return ESPnet's data set of some files, and what makes a batch of utterances.

    Args:
        entries: (path, name, type) as ESPnet writes them.
        config: Content of config.yaml; what it lacks takes ESPnet's defaults.
        labels: Whether text becomes token ids; without, no tokenizer is needed.

    Raises:
        UserError: ESPnet cannot read a file, or cannot make tokens of text.
    """
    from espnet2.train.dataset import ESPnetDataset

    args, task = with_defaults(config), task_of(config).espnet_class()
    if not labels:
        # that of task s2t asks for a tokenizer; one of words needs no file
        s2t = str(getattr(args, "preprocessor", None)).startswith("s2t")
        args.token_type = "word" if s2t else None
    files = " ".join(",".join(entry) for entry in entries)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # slu greets there
            process = task.build_preprocess_fn(args, train=False)
        data = ESPnetDataset(
            list(entries),
            preprocess=process,
            allow_multi_rates=bool(args.allow_multi_rates),
        )
    except Exception as error:  # ESPnet and what it reads with raise anything
        raise UserError(f"{files}: {type(error).__name__}: {error}") from error
    return data, task.build_collate_fn(args, train=False)


def load_utterance(data: Any, key: str) -> Tuple[str, Dict[str, Any]]:
    """Return an utterance of a data set: its id, and its arrays by name.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return data[key]
    except Exception as error:  # see above
        path = data.debug_info["speech"][0]
        raise UserError(
            f"{path}: the audio of {key} cannot be read ({error}); repair or remove it"
        ) from error


class Labelled:
    """Utterances evenly spaced over a set, loaded one by one.

    Args:
        entries: (path, name, type) as ESPnet writes them.
        config: Content of config.yaml, for the processing of audio and text.
        most: At most so many.
        keys: Utterances to choose from; all by default.

    Raises:
        UserError: See `open_speech`.
    """

    def __init__(
        self,
        entries: Entries,
        config: Mapping[str, Any],
        most: int,
        keys: Optional[Sequence[str]] = None,
    ) -> None:
        self.data, self.collate = open_speech(entries, config, labels=True)
        keys = list(self.data) if keys is None else keys
        count = min(most, len(keys))
        self.keys = [keys[i * len(keys) // count] for i in range(count)]

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.keys)

    def __iter__(self) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """Yield an utterance's id and its arrays by name, see `load_utterance`."""
        for key in self.keys:
            yield load_utterance(self.data, key)


class Utterances:
    """Batches of utterances drawn from files of audio, as ESPnet would load them.

    A batch holds utterances of exactly one length, so that there is no padding, which
    ESPnet's convolutions would see: what comes out does not depend on `batch_size`.

    Args:
        entries: (path, "speech", type); several are pooled.
        config: Content of config.yaml, for the processing of the audio.
        num_utts: How many to draw, without repetition.
        batch_size: Utterances of one length that make a batch, at most.
        seed: Seed of the drawing.

    Raises:
        UserError: A file that ESPnet cannot read.
    """

    def __init__(
        self,
        entries: Entries,
        config: Mapping[str, Any],
        num_utts: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.keys: List[Tuple[Any, str]] = []
        for entry in entries:
            data, self.collate = open_speech([entry], config, labels=False)
            self.keys += [(data, key) for key in data]
        count = min(num_utts, len(self.keys))
        self.keys = random.Random(seed).sample(self.keys, count)
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Return the number of batches if no two utterances have one length."""
        return len(self.keys)

    def __iter__(self) -> Iterator[Any]:
        waiting: Dict[int, List[Any]] = {}
        for data, key in self.keys:
            loaded = load_utterance(data, key)
            length = len(loaded[1]["speech"])
            group = waiting.setdefault(length, [])
            group.append(loaded)
            if len(group) == self.batch_size:
                yield self.collate(waiting.pop(length))
        for group in waiting.values():
            yield self.collate(group)
