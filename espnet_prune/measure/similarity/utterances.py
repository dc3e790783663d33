# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Draw utterances from files of audio, and load them as ESPnet would."""

import argparse
import random
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

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

    Args:
        entries: (path, "speech", type); several are pooled.
        config: Content of config.yaml, for the processing of the audio.
        num_utts: How many to draw, without repetition.
        batch_size: Utterances in a batch.
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
        from espnet2.tasks.asr import ASRTask
        from espnet2.train.dataset import ESPnetDataset

        # without a token type no tokenizer is built: there is no text
        own = {"preprocessor_conf": {}, "use_preprocessor": False, **config}
        own = argparse.Namespace(**{**own, "token_type": None})
        process = ASRTask.build_preprocess_fn(own, train=False)
        self.collate = ASRTask.build_collate_fn(own, train=False)
        self.keys: List[Tuple[Any, str]] = []
        for entry in entries:
            try:
                data = ESPnetDataset(
                    [entry],
                    preprocess=process,
                    allow_multi_rates=bool(config.get("allow_multi_rates")),
                )
            except Exception as error:
                raise UserError(f"{','.join(entry)}: {error}") from error
            self.keys += [(data, key) for key in data]
        count = min(num_utts, len(self.keys))
        self.keys = random.Random(seed).sample(self.keys, count)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.keys) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        for i in range(0, len(self.keys), self.batch_size):
            drawn = self.keys[i : i + self.batch_size]
            yield self.collate([self._load(data, key) for data, key in drawn])

    def _load(self, data: Any, key: str) -> Tuple[str, Dict[str, Any]]:
        try:
            return data[key]
        except Exception as error:
            path = data.debug_info["speech"][0]
            raise UserError(
                f"{path}: the audio of {key} cannot be read ({error}); "
                "repair or remove it"
            ) from error
