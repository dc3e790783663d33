# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Gradients of a model's loss on labelled speech, for methods that score by them."""

from typing import Any, Iterator

import torch

from espnet_prune.data.speech import Labelled, entries_of, parse_entries
from espnet_prune.utils import UserError


def backward_passes(plan: Any, max_utts: int) -> Iterator[None]:
    """Add the gradients of one utterance after the other to a model's.

    Args:
        plan: The plan of the selection. Its model is back on the CPU in the end.
        max_utts: How many utterances of the model's training data, or of
            --eval_data_path_and_name_and_type, are heard, one by one and as in
            decoding: without dropout, augmentation and padding.

    Yields:
        Nothing, after each utterance.

    Raises:
        UserError: There is no labelled data.
    """
    entries = parse_entries(plan.options.eval_data_path_and_name_and_type)
    entries = entries or entries_of(plan.config, "train")
    if "text" not in [name for _, name, _ in entries]:
        raise UserError(
            f"method {plan.method.name} needs labelled speech, and the model names no "
            "training data with text; give --eval_data_path_and_name_and_type"
        )
    data = Labelled(entries, plan.config, max_utts)
    device = torch.device("cuda" if plan.options.ngpu else "cpu")
    model = plan.model.to(device)
    for sample in data:
        _, batch = data.collate([sample])
        loss, _, _ = model(**{key: value.to(device) for key, value in batch.items()})
        loss.backward()
        yield
    model.cpu()
