# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the processes of one distributed training have to agree on.

ESPnet shards every mini-batch over the ranks, and weights each rank's loss by its
number of utterances, so that the loss of the whole batch is minimised. A mean over
frames, a running mean, or a choice made from the batch needs the sums below, or the
result would depend on how the batch was sharded. A single process computes nothing.
"""

import argparse
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import distributed

from espnet_prune.utils import UserError


class Part(NamedTuple):
    """One loss of this rank's shard.

    Attributes:
        value: Scalar mean, with a graph.
        count: What it is the mean of: utterances, frames, tokens, or their weight; ().
    """

    value: torch.Tensor
    count: torch.Tensor


def many() -> bool:
    """Say whether this process is one of several ranks."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def any_rank(flag: torch.Tensor) -> bool:
    """Say whether a flag () is set in any rank; all ranks wait for each other."""
    if many():
        flag = flag.float()
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag)


def mean_over_ranks(value: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Return the mean over the whole batch of a detached mean over each shard.

    Args:
        value: Any shape; the mean of `count` things.
        count: ().
    """
    if not many():
        return value
    count = count.double()
    sums = torch.cat([value.double().flatten() * count, count.reshape(1)])
    distributed.all_reduce(sums)
    return (sums[:-1] / sums[-1]).to(value.dtype).reshape(value.shape)


def share(
    parts: Mapping[str, Part], utterances: torch.Tensor
) -> Tuple[Dict[str, torch.Tensor], Dict[str, torch.Tensor]]:
    """Make losses of a shard add up to the losses of the whole batch.

    Args:
        parts: Losses by name, the same names on every rank.
        utterances: Size of the shard, by which the trainer weights its loss; ().

    Returns:
        The losses such that their mean over all utterances of all ranks is the mean
        over what each one counts, and the detached losses of the whole batch, which
        are the same on all ranks.
    """
    own = {name: part.value for name, part in parts.items()}
    if not many():
        return own, {name: value.detach() for name, value in own.items()}
    counted = [*(part.count for part in parts.values()), utterances]
    counts = torch.stack([count.double() for count in counted])
    values = torch.stack([value.detach().double() for value in own.values()])
    sums = torch.cat([counts, counts[:-1] * values])
    distributed.all_reduce(sums)
    totals, sums = sums[: len(counts)], sums[len(counts) :]
    factors = (counts / totals)[:-1] * (totals[-1] / counts[-1])
    whole = sums / totals[:-1]
    return (
        {
            name: value * factors[i].float()
            for i, (name, value) in enumerate(own.items())
        },
        {name: whole[i].float() for i, name in enumerate(own)},
    )


def check_agreement(epoch: int, output_dir: str, device: str) -> None:
    """Refuse to start from different epochs; otherwise the ranks wait for ever.

    Raises:
        UserError: Another rank has found another checkpoint, or none.
    """
    if not many():
        return
    extremes = torch.tensor([epoch, -epoch], device=device)
    distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
    if int(extremes.sum()) != 0:
        raise UserError(
            f"{output_dir}: rank {distributed.get_rank()} resumes after epoch {epoch}, "
            f"others after {int(extremes[0])} or {-int(extremes[1])}; --output_dir "
            "must be on a file system that all nodes share"
        )


def is_main(args: argparse.Namespace) -> bool:
    """Say whether this process, which has trained, is the one that writes results.

    Args:
        args: The options of the training, after it.
    """
    if not getattr(args, "distributed", False):
        return True
    rank: Optional[int] = None
    if distributed.is_available() and distributed.is_initialized():
        rank = distributed.get_rank()
    else:  # the parent of this node's ranks
        from espnet2.train.distributed_utils import get_node_rank

        rank = get_node_rank(args.dist_rank, args.dist_launcher)
    return not rank
