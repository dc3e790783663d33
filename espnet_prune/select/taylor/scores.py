# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""|weight x gradient|, summed over the weights of every unit."""

from typing import Any, Dict

import torch

from espnet_prune.data.speech import Labelled, entries_of, parse_entries
from espnet_prune.units.norms import unit_sums
from espnet_prune.utils import UserError


def taylor_scores(plan: Any, max_utts: int) -> Dict[str, torch.Tensor]:
    """Return the score (size,) of every unit but whole modules, by name.

    Args:
        plan: The plan of the selection.
        max_utts: How many utterances of the model's training data, or of
            --eval_data_path_and_name_and_type, are heard, one by one and as in
            decoding: without dropout, augmentation and padding.

    Raises:
        UserError: There is no labelled data.
    """
    entries = parse_entries(plan.options.eval_data_path_and_name_and_type)
    entries = entries or entries_of(plan.config, "train")
    if "text" not in [name for _, name, _ in entries]:
        raise UserError(
            "method taylor needs labelled speech, and the model names no training data "
            "with text; give --eval_data_path_and_name_and_type"
        )
    data = Labelled(entries, plan.config, max_utts)
    device = torch.device("cuda" if plan.options.ngpu else "cpu")
    model = plan.model.to(device)
    weights = dict(plan.root.named_parameters())
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for sample in data:
        _, batch = data.collate([sample])
        loss, _, _ = model(**{key: value.to(device) for key, value in batch.items()})
        loss.backward()
        for name, weight in weights.items():
            if weight.grad is not None:
                sums[name] += (weight * weight.grad).detach().abs()
        model.zero_grad()
    model.cpu()
    return unit_sums(sums, plan.graph)
