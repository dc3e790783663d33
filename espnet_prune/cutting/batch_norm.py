# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Re-estimate batch norm statistics, which were gathered under other masks."""

import logging
from typing import Any, Iterable

import torch
from torch import nn


def has_norms(model: nn.Module) -> bool:
    """Say whether the encoder of a model has batch norm at all."""
    return any(isinstance(m, nn.BatchNorm1d) for m in model.encoder.modules())


@torch.no_grad()
def refresh(model: nn.Module, batches: Iterable[Any], limit: int) -> int:
    """Run batches forward and average their batch norm statistics.

    Args:
        model: An `ESPnetASRModel`; nothing but running statistics changes.
        batches: What ESPnet's iterators give: (utterance ids, dict of tensors).
        limit: Number of batches to run.

    Returns:
        Number of batches that were run; 0 if the encoder has no batch norm.
    """
    norms = [m for m in model.encoder.modules() if isinstance(m, nn.BatchNorm1d)]
    if not norms or limit <= 0:
        return 0
    model.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
        norm.train()
    count = 0
    for _, batch in batches:
        model.encode(batch["speech"], batch["speech_lengths"])
        count += 1
        if count >= limit:
            break
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.eval()
    logging.info(f"Batch norm statistics re-estimated on {count} batches")
    return count


def training_batches(args: Any) -> Iterable[Any]:
    """Return the training batches of an experiment, in ESPnet's order of epoch 1.

    Args:
        args: Namespace of the experiment's config.yaml, on one process.
    """
    from espnet2.tasks.asr import ASRTask
    from espnet2.train.distributed_utils import DistributedOption

    option = DistributedOption(distributed=False)
    factory = ASRTask.build_iter_factory(args, distributed_option=option, mode="train")
    return factory.build_iter(epoch=1, shuffle=False)
