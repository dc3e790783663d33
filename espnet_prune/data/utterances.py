# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Draw utterances from files of audio, and load them as ESPnet would."""

import random
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from espnet_prune.data.speech import load_utterance, open_speech
from espnet_prune.utils import UserError


def data_entries(
    given: Optional[List[str]], config: Mapping[str, Any], where: str
) -> List[Tuple[str, str, str]]:
    """Return (path, name, type) of the speech, from the command line or the config.

    Raises:
        UserError: No speech among the data, a malformed entry, or a missing file.
    """
    if given:
        where, entries = "--data", [text.split(",") for text in given]
    else:
        entries = config.get("train_data_path_and_name_and_type") or []
    for entry in entries:
        if len(entry) != 3:
            raise UserError(f"{where}: '{entry}' is not PATH,NAME,TYPE")
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
        entries: List[Tuple[str, str, str]],
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
