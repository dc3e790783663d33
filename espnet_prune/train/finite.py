# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A batch with a number that is not finite leaves no trace."""

import logging
from typing import Any, Dict, List, Optional, Tuple

import torch

from espnet_prune.patches import replaced
from espnet_prune.train.ranks import any_rank
from espnet_prune.utils import UserError

MAX_NON_FINITE = 20


class FiniteGuard:
    """Context manager that undoes what a bad batch did to a model in training.

    ESPnet's trainer skips a step whose gradients are not finite, but by then the
    forward pass has changed the buffers, such as the running statistics of batch norm.
    Where the loss, or a buffer that was finite before, is no longer finite, all buffers
    are put back, and the loss is replaced by one whose gradient is not a number, so
    that the step is skipped. Of several ranks, all do so when one has to. When a step
    is skipped, for whatever gradient, the buffers are what they were after the last
    step.

    Args:
        model: The model itself, not its DDP wrapper; it returns (loss, stats, weight).

    Raises:
        UserError: In the forward pass, after many bad batches in a row.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self._before: Dict[int, List[torch.Tensor]] = {}
        self._at_step: Optional[List[torch.Tensor]] = None
        self._in_a_row = 0
        self._handles: List[Any] = []

    def __enter__(self) -> "FiniteGuard":
        model = self.model
        self._handles = [
            model.register_forward_pre_hook(self._begins),
            model.register_forward_hook(self._ended, with_kwargs=True),
        ]
        self._patch = replaced(torch.nn.utils, "clip_grad_norm_", self._clipped)
        self._clip = self._patch.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._patch.__exit__(*exc)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._before.clear()
        self._at_step = None

    def _clipped(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Clip, which the trainer does before every step; by the norm it skips one."""
        norm = self._clip(*args, **kwargs)
        if self._at_step is not None and not bool(torch.isfinite(norm)):
            self._restore(self._at_step)
        self._at_step = None
        return norm

    @torch.no_grad()
    def _restore(self, before: List[torch.Tensor]) -> None:
        for kept, buffer in zip(before, self.model.buffers()):
            buffer.copy_(kept)

    def _begins(self, model: torch.nn.Module, args: Any) -> None:
        if not model.training:  # an epoch is over, and what has not led to a step
            self._at_step = None
            return
        buffers = [buffer.detach().clone() for buffer in model.buffers()]
        self._before[id(model)] = buffers
        if self._at_step is None:
            self._at_step = buffers

    @torch.no_grad()
    def _bad(self, loss: torch.Tensor, pairs: List[Tuple[Any, Any]]) -> bool:
        """Say whether a number of this batch, of any rank, is not finite."""
        found = [~torch.isfinite(loss).all()]
        for before, after in pairs:
            if after.is_floating_point():
                lost = torch.isfinite(before) & ~torch.isfinite(after)
                found.append(lost.any().to(loss.device))
        return any_rank(torch.stack(found).any())

    def _ended(
        self, model: torch.nn.Module, args: Any, kwargs: Any, output: Any
    ) -> Optional[Tuple]:
        if not model.training:
            return None
        loss, stats, weight = output
        pairs = list(zip(self._before.pop(id(model)), model.buffers()))
        if not self._bad(loss, pairs):
            self._in_a_row = 0
            return None
        self._restore([before for before, _ in pairs])
        self._tell(kwargs.get("utt_id"))
        # not through the graph of the batch, whose buffers are no longer its own
        learned = [p.sum() for p in model.parameters() if p.requires_grad]
        lost = torch.stack(learned).sum() * float("nan")
        return lost + torch.zeros_like(loss), stats, weight

    def _tell(self, utt_ids: Optional[List[str]]) -> None:
        self._in_a_row += 1
        names = ", ".join(list(utt_ids or [])[:3])
        logging.warning(
            f"The loss is not finite; the step is skipped ({names}, ...), and the "
            "batch changes nothing"
        )
        if self._in_a_row >= MAX_NON_FINITE:
            raise UserError(
                f"the loss was not finite for {MAX_NON_FINITE} batches in a row "
                f"(last: {names}); lower the learning rate or look at these utterances"
            )
