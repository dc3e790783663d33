# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Losses of different units on one scale."""

from typing import Any, Dict, Mapping, Optional, Sequence

import torch


class LossMeans(torch.nn.Module):
    """Divide each loss by a detached running mean of itself.

    The means are float buffers that stay out of state_dict, so that a trained model
    holds no trace of them; they travel in the trainer's checkpoint instead.

    Args:
        names: The losses.
        momentum: Share of the old mean; the first values are averaged plainly.
        ratio_limit: A loss counts at most this many times its mean.
        floor: Smallest divisor, so that a vanishing loss is not blown up.
    """

    def __init__(
        self,
        names: Sequence[str],
        momentum: float = 0.99,
        ratio_limit: float = 2.0,
        floor: float = 1e-4,
    ):
        super().__init__()
        self.names = list(names)
        self.momentum, self.ratio_limit, self.floor = momentum, ratio_limit, floor
        size = len(self.names)
        self.register_buffer("mean", torch.zeros(size), persistent=False)
        self.register_buffer("count", torch.zeros(size), persistent=False)

    def forward(
        self, name: str, loss: torch.Tensor, whole: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Return `loss` on a scale where its recent mean is 1.

        Args:
            name: One of the names given to the constructor.
            loss: Scalar. A value that is not finite does not enter the mean.
            whole: What enters the mean instead: the loss of the whole batch, where
                `loss` belongs to one rank's shard of it.
        """
        i = self.names.index(name)
        value = (loss if whole is None else whole).detach().float().abs()
        finite = torch.isfinite(value)
        count = self.count[i] + finite
        keep = torch.clamp(1.0 - 1.0 / count.clamp_min(1.0), max=self.momentum)
        updated = keep * self.mean[i] + (1.0 - keep) * value
        mean = torch.where(finite, updated, self.mean[i])
        self.count[i], self.mean[i] = count, mean
        return loss / torch.maximum(mean, value / self.ratio_limit).clamp_min(
            self.floor
        )

    def get_state(self) -> Dict[str, torch.Tensor]:
        """Return what a resumed run needs."""
        return {"mean": self.mean.cpu().clone(), "count": self.count.cpu().clone()}

    def set_state(self, state: Dict[str, torch.Tensor]) -> None:
        """Take over the state of an earlier run."""
        self.mean.copy_(state["mean"])
        self.count.copy_(state["count"])


class LossMix(torch.nn.Module):
    """The weighted sum of the losses of a training.

    Args:
        weights: Weight of every loss, by name.
        normalise: Divide every loss by its running mean, so that the weights compare
            losses of different units.
        means: See `LossMeans`.
    """

    def __init__(
        self, weights: Mapping[str, float], normalise: bool = True, **means: Any
    ):
        super().__init__()
        self.weights, self.normalise = dict(weights), normalise
        self.means = LossMeans(list(weights), **means)

    def forward(
        self, parts: Dict[str, torch.Tensor], whole: Dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the sum; see `espnet_prune.train.ranks.share` for both arguments."""
        total = torch.zeros((), device=next(iter(parts.values())).device)
        for name, part in parts.items():
            scaled = self.means(name, part, whole[name]) if self.normalise else part
            total = total + self.weights[name] * scaled.float()
        weight = sum(self.weights[name] for name in parts)
        # about 1, however many terms: penalties are tuned to that
        return total / weight if self.normalise and weight > 0 else total
