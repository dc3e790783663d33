# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's models of speech, with hooks into their training loss."""

import contextlib
import functools
from typing import Any, Dict, List, Optional, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_prune.train.hooks import SideState, TrainHook
from espnet_prune.train.loss_means import LossMix
from espnet_prune.train.ranks import Part, share


class Hooked:
    """A model of ESPnet's whose training loss is what its hooks make of it.

    It stands before the class of a task's models. Without hooks it is that class.
    Validation and inference are always the stock forward, but for the validation of a
    training without labels.

    Attributes:
        hooks: What takes part in the training.
        mix: Weighs ESPnet's own loss, "asr" for every task, and those of the hooks.
        labels: Whether ESPnet's own loss is computed at all.
        last_stats: Statistics of the last batch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begin_hooks()

    def begin_hooks(self) -> None:
        """Begin without hooks."""
        self.hooks: List[TrainHook] = []
        self.mix = LossMix({"asr": 1.0}, normalise=False)  # ESPnet's loss as it is
        self.labels = True
        self.last_stats: Dict[str, torch.Tensor] = {}

    def add_hook(self, hook: TrainHook) -> None:
        """Let a hook take part, and train its module with the model."""
        self.hooks.append(hook)
        if hook.module is not None:
            self.add_module(hook.name, hook.module)

    def train_hooks(self) -> List[TrainHook]:
        """Return what the trainer has to call."""
        return [SideState("loss_means", self.mix.means), *self.hooks]

    def open_blocks(self) -> Optional[List[bool]]:
        """Say which encoder blocks do something in this pass; None: all of them."""
        found = [hook.open_blocks() for hook in self.hooks]
        rows = [row for row in found if row is not None]
        return [all(row) for row in zip(*rows)] if rows else None

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        *labels: torch.Tensor,
        **named: Any,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Compute the loss.

        Args:
            speech: (#batch, samples) or features (#batch, frames, F).
            speech_lengths: (#batch,).
            labels: What the task's own model takes next, such as text (#batch, U) and
                its lengths (#batch,); not used without labels.
            named: The same by name, and what else a batch holds, such as `utt_id`.

        Returns:
            Loss (1,), statistics and batch size, as ESPnet's trainer expects. The
            statistic `loss` is ESPnet's own loss (without labels, that of the hooks),
            `loss_total` is what is minimised.
        """
        training = self.training
        if self.labels and not (training and self.hooks):
            return super().forward(speech, speech_lengths, *labels, **named)
        if training:
            for hook in self.hooks:
                hook.forward_begin(self)
        with contextlib.ExitStack() as watched:
            for hook in self.hooks:
                watched.enter_context(hook.watch(self))
            if self.labels:
                loss, stats, weight = super().forward(
                    speech, speech_lengths, *labels, **named
                )
            else:
                self.encode(speech, speech_lengths)
                stats, weight = {}, speech.new_tensor(speech.size(0))
        found: Dict[str, Part] = {}
        with torch.autocast(speech.device.type, enabled=False):
            if self.labels:
                found["asr"] = Part(loss.mean(), weight.sum())
            for hook in self.hooks:
                found.update(hook.losses(self))
            if not training:
                loss = torch.stack([part.value for part in found.values()]).sum()
                stats["loss"] = loss.detach()
                return force_gatherable((loss, stats, weight), speech.device)
            parts, whole = share(found, weight.sum())
            if not self.labels:
                stats["loss"] = torch.stack(list(whole.values())).sum()
            total = self.mix(parts, whole)
            extra = {name: value for name, value in whole.items() if name != "asr"}
            for hook in self.hooks:
                more = hook.penalty(self)
                if more is not None:
                    total = total + more[0]
                    extra.update(more[1])
        # a copy: the trainer divides the loss by accum_grad in place
        stats.update(extra, loss_total=total.detach().clone())
        self.last_stats = stats
        return force_gatherable((total, stats, weight), speech.device)


class PruneASRModel(Hooked, ESPnetASRModel):
    """ESPnet's hybrid CTC/attention model or transducer, with hooks."""


@functools.lru_cache(maxsize=None)
def _hooked(stock: type) -> type:
    return type(f"Hooked{stock.__name__}", (Hooked, stock), {})


def with_hooks(model: torch.nn.Module) -> torch.nn.Module:
    """Let hooks take part in the training of a model that ESPnet has built.

    Args:
        model: A model of any task whose class has `encode`; it is changed itself.
    """
    model.__class__ = _hooked(type(model))
    model.begin_hooks()
    return model
