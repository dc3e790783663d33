# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Open a model's speech, with or without labels, as ESPnet would load it to decode.

Utterances are loaded one by one: ESPnet's convolutions see the padding of a batch, so
that an utterance in a padded batch is another one than alone. Nothing is augmented.
"""

import contextlib
import sys
from typing import Any, Dict, Mapping, Sequence, Tuple

from espnet_prune.models import with_defaults
from espnet_prune.tasks import task_of
from espnet_prune.utils import UserError

Entries = Sequence[Tuple[str, str, str]]


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
