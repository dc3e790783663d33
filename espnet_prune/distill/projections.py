# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Linear maps from the student's hidden states to the teacher's."""

from typing import Any, Dict

import torch
import torch.nn.functional as F
from torch import nn

from espnet_prune.utils import UserError


class Projections(nn.Module):
    """One map for the input of the blocks and one shared by all their outputs.

    Both begin as the identity (METHODS C.3, as DPHuBERT's code does). The parameters
    are trained with the weights and stay out of state_dict, so that no checkpoint of a
    model holds them; they travel in the trainer's checkpoint instead.

    Args:
        size: Width D of the hidden states.
    """

    def __init__(self, size: int):
        super().__init__()
        for name in ("input", "blocks"):
            setattr(self, f"{name}_weight", nn.Parameter(torch.eye(size)))
            setattr(self, f"{name}_bias", nn.Parameter(torch.zeros(size)))

    def forward(self, hidden: torch.Tensor, name: str) -> torch.Tensor:
        """Map hidden states (..., D) -> (..., D).

        Args:
            hidden: States of the student.
            name: "input" for what enters the first block, "blocks" for outputs.
        """
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        return F.linear(hidden, weight, bias)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Leave nothing in the model's state_dict."""

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Expect nothing in the model's state_dict."""

    def get_state(self) -> Dict[str, torch.Tensor]:
        """Return what a resumed run, or the training after the cut, needs."""
        return {k: p.detach().cpu().clone() for k, p in self.named_parameters()}

    @torch.no_grad()
    def set_state(self, state: Dict[str, torch.Tensor]) -> None:
        """Take over the state of an earlier run.

        Raises:
            UserError: Other names, or another width.
        """
        own = dict(self.named_parameters())
        if state.keys() != own.keys() or any(
            state[name].shape != own[name].shape for name in own
        ):
            raise UserError(
                "distill_conf: projections come from a model of another width; give "
                "the projections.pth of this model's selection, or true"
            )
        for name, parameter in own.items():
            parameter.copy_(state[name])
