# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Labelled utterances: which data may judge a model, and how it is loaded."""

import logging
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from espnet_prune.data.speech import Entries, load_utterance, open_speech
from espnet_prune.data.tables import read_table
from espnet_prune.utils import UserError


def valid_entries(config: Mapping[str, Any]) -> Entries:
    """Return (path, name, type) of the development data that a config.yaml names."""
    given = config.get("valid_data_path_and_name_and_type") or []
    return [tuple(entry) for entry in given]


def parse_entries(values: Optional[Sequence[str]]) -> Optional[Entries]:
    """Split "PATH,NAME,TYPE" of the command line; None stays None.

    Raises:
        UserError: A value of another form.
    """
    if not values:
        return None
    entries = [tuple(value.split(",")) for value in values]
    if any(len(entry) != 3 for entry in entries):
        raise UserError(
            "--eval_data_path_and_name_and_type takes PATH,NAME,TYPE, e.g. "
            "dump/raw/dev/wav.scp,speech,sound"
        )
    return entries


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
                "needs labelled speech, give --eval_data_path_and_name_and_type"
            )
        if not Path(names[name]).is_file():
            raise UserError(
                f"eval data: {names[name]} is missing; call this from the recipe's "
                "directory or give --eval_data_path_and_name_and_type"
            )
    train = config.get("train_data_path_and_name_and_type") or []
    paths = [entry[0] for entry in train if entry[1] == "text"]
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
