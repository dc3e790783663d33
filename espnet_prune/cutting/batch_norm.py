# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Re-estimate batch norm statistics, which were gathered under other masks.

Utterances are drawn at random from the training data and run one by one, so that no
padding has a part in the statistics. Blocks are done in their order: the statistics of
a block are those of its input under the new statistics of all blocks before it. What
comes out is kept only if it does not make the loss on the development data worse.
"""

import contextlib
import logging
import math
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping

import torch
from torch import nn

from espnet_prune.compat import TOO_SHORT
from espnet_prune.data.speech import Labelled, Utterances, entries_of, speech_entries
from espnet_prune.models import encoded, loss_only
from espnet_prune.units import Masks, UnitGraph
from espnet_prune.units.blocks import BlockRunner, State
from espnet_prune.utils import UserError

MAX_DEV = 200  # development utterances that judge, evenly spaced
STATISTICS = ("running_mean", "running_var")


def batch_norms(model: nn.Module) -> List[nn.Module]:
    """Return the batch norms of a model's encoder."""
    return [m for m in model.encoder.modules() if isinstance(m, nn.BatchNorm1d)]


class _Moments:
    """Mean and variance of what enters a norm, over all frames that it sees."""

    def __init__(self, norm: nn.Module) -> None:
        self.count, self.sums = 0, norm.running_mean.new_zeros(2, norm.num_features)
        self.sums = self.sums.double()

    def __call__(self, norm: nn.Module, args: Any) -> None:
        """Add the input (N, C, T) of a norm; a forward pre-hook."""
        x = args[0].double().transpose(0, 1).flatten(1)
        self.count += x.size(1)
        self.sums += torch.stack([x.sum(1), x.square().sum(1)])

    def write(self, norm: nn.Module) -> None:
        """Make them the statistics of a norm."""
        mean, square = self.sums / self.count
        variance = (square - mean.square()) * self.count / max(self.count - 1, 1)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance.clamp(min=0.0))


@torch.no_grad()
def refresh(model: nn.Module, batches: Iterable[Any]) -> int:
    """Re-estimate the statistics of an encoder's batch norms.

    Args:
        model: An `ESPnetASRModel`; nothing but running statistics changes.
        batches: What ESPnet's iterators give: (utterance ids, dict of tensors), each
            without padding.

    Returns:
        Number of utterances that were long enough to run.

    Raises:
        UserError: See `BlockRunner`, or no utterance is long enough; the statistics are
            as they were.
    """
    model.eval()
    runner = BlockRunner(model.encoder, getattr(model, "ctc", None))
    states: List[State] = []
    count = 0
    for ids, batch in batches:
        with contextlib.suppress(*TOO_SHORT):
            states.append(runner.start(lambda: encoded(model, batch)))
            count += len(ids)
    if not states:
        raise UserError("no training utterance is long enough for the encoder")
    for number, block in enumerate(runner.blocks):
        for norm in block.modules():
            if isinstance(norm, nn.BatchNorm1d):
                moments = _Moments(norm)
                handle = norm.register_forward_pre_hook(moments)
                for state in states:
                    runner.advance(state, number)
                handle.remove()
                moments.write(norm)
        states = [runner.advance(state, number) for state in states]
    return count


@torch.no_grad()
def hand_back(
    small: nn.Module,
    root: nn.Module,
    graph: UnitGraph,
    masks: Masks,
    kept_blocks: List[int],
) -> None:
    """Give a masked encoder, in place, the batch norm statistics of the cut one.

    Args:
        small: The cut encoder, or a model with it.
        root: What it was cut from.
        graph: Units of `root`.
        masks: What it was cut by.
        kept_blocks: Blocks of its encoder, by their numbers in `graph.dense`.
    """
    masks, present = graph.close(masks), graph.dense["encoder"].kept_blocks
    path = graph.places["encoder"].path
    own, cut = (module.get_submodule(path) for module in (root, small))
    source, target = dict(cut.named_buffers()), dict(own.named_buffers())
    skipped = f"{path}." if path else ""
    for unit in graph.of_kinds(("conv_channel",)):
        kept = masks[unit.name].nonzero().squeeze(1)
        if present[unit.index] not in kept_blocks or not len(kept):
            continue
        position = kept_blocks.index(present[unit.index])
        for part in unit.producers:
            if part.tensor.endswith(STATISTICS):
                name = part.tensor[len(skipped) :]
                inner = name.split(".", 2)[2]
                target[name][kept] = source[f"encoders.{position}.{inner}"]


class DevLoss:
    """The loss of a model on development data, utterance by utterance.

    Args:
        config: Content of config.yaml, which names the data.

    Raises:
        UserError: There is no development data, or it cannot be read.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        name = "valid_data_path_and_name_and_type"
        entries = entries_of(config, "valid")
        if not entries:
            raise UserError(f"config.yaml: no {name}, so nothing could judge")
        missing = [str(entry[0]) for entry in entries if not Path(entry[0]).exists()]
        if missing:
            raise UserError(f"{missing[0]} (config.yaml: {name}) is not there")
        self.data = Labelled(entries, config, MAX_DEV)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> float:
        """Return the mean loss; utterances that are too short count nothing."""
        losses: List[float] = []
        model.eval()
        with loss_only(model):
            for utterance in self.data:
                _, batch = self.data.collate([utterance])
                with contextlib.suppress(*TOO_SHORT):
                    losses.append(float(model(**batch)[0]))
        return sum(losses) / len(losses) if losses else float("nan")


def refresh_if_better(
    model: nn.Module, config: Mapping[str, Any], most: int, seed: int
) -> Dict[str, Any]:
    """Re-estimate batch norm on the training data that a config names.

    Whatever keeps this from being done, or judged, is logged, and the statistics stay.

    Args:
        model: The model with its cut encoder.
        config: Content of config.yaml.
        most: Training utterances to draw; 0 keeps the statistics.
        seed: Seed of the drawing.

    Returns:
        {"refreshed": whether the statistics are new, "why", and, if it came so far,
        "utterances", "dev_utterances", "dev_loss_before", "dev_loss_after"}.
    """
    if not batch_norms(model):
        return {"refreshed": False, "why": "the encoder has no batch norm"}
    if most <= 0:
        return {"refreshed": False, "why": "not asked for"}
    kept = {k: v.clone() for k, v in model.encoder.named_buffers()}
    try:
        judge = DevLoss(config)
        entries = speech_entries(None, config, "config.yaml")
        batches = Utterances(entries, config, most, 1, seed)
        before = judge(model)
        record: Dict[str, Any] = {"utterances": refresh(model, batches)}
        after = judge(model)
    except UserError as error:
        _restore(model.encoder, kept)
        logging.warning(f"Batch norm statistics kept: {error}")
        return {"refreshed": False, "why": str(error)}
    record.update(dev_utterances=len(judge.data))
    record.update(dev_loss_before=before, dev_loss_after=after)
    better = math.isfinite(after) and after <= before
    change = f"the loss on the development data goes from {before:.4f} to {after:.4f}"
    if not better:
        _restore(model.encoder, kept)
    logging.info(
        f"Batch norm statistics {'re-estimated' if better else 'kept'}: with those of "
        f"{record['utterances']} random training utterances {change}"
    )
    return {"refreshed": better, "why": change, **record}


def _restore(encoder: nn.Module, kept: Mapping[str, torch.Tensor]) -> None:
    for name, buffer in encoder.named_buffers():
        buffer.copy_(kept[name])
