# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What calibration gathers of a layer: moments of its input, gradients of its output.

Per layer the input x (C,) leaves its mean and its Gram matrix, and the output the sum
of its squared gradients: the diagonal of the Fisher matrix, which makes errors of
different layers comparable. They are added up utterance by utterance; no activation is
kept.
"""

import contextlib
from typing import Any, Dict, Iterator, Mapping, Optional

import torch
from torch import nn

from espnet_prune.select.obs.readers import columns, output_rows

# rows of one utterance that count for a layer, evenly spaced; a convolution over raw
# speech reads thousands a second
MOST_ROWS = 512
# of a second moment, at most, is lost where the mean is taken off
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-6}
# columns from which on moments are kept in float32: of a large model they take more
# memory than its weights, and what they are damped by is much more than its rounding
WIDE = 2048


class Moments:
    """Sums over the input and the output of a layer.

    Args:
        layer: The layer.

    Attributes:
        count: Rows of input.
        total: Sum of the input (C,).
        gram: Sum of its outer products (C, C), float64, or float32 where C is `WIDE`.
        fisher: Sum of the squared gradients of the output (out,), float64.
    """

    def __init__(self, layer: nn.Module) -> None:
        out, device = len(layer.weight), layer.weight.device
        size = layer.weight[0].numel() if layer.weight.dim() > 1 else out
        self.count = 0
        self.total = torch.zeros(size, dtype=torch.float64, device=device)
        dtype = torch.float64 if size < WIDE else torch.float32
        self.gram = torch.zeros(size, size, dtype=dtype, device=device)
        self.fisher = torch.zeros(out, dtype=torch.float64, device=device)

    def add(self, layer: nn.Module, x: torch.Tensor, dim: int = -1) -> None:
        """Add an input of the layer; utterances (N) do not see each other."""
        rows = columns(layer, x.detach(), dim, MOST_ROWS).flatten(0, 1)
        rows = rows.to(self.gram.dtype)
        self.count += len(rows)
        self.total += rows.sum(0, dtype=torch.float64)
        self.gram.addmm_(rows.T, rows)

    def add_gradient(self, layer: nn.Module, gradient: torch.Tensor) -> None:
        """Add the gradient of an output of the layer."""
        self.fisher += output_rows(layer, gradient.detach()).double().square().sum(0)

    def mean(self) -> torch.Tensor:
        """Return the mean of the input, (C,)."""
        return self.total / max(self.count, 1)

    def second(self, centred: bool) -> torch.Tensor:
        """Return E x x^T (C, C), or the covariance.

        Args:
            centred: Take the mean off, where a bias can make up for it.
        """
        found = self.gram.clone().double().div_(max(self.count, 1))
        if not centred:
            return found
        rounding = ROUNDING[self.gram.dtype] * found.diagonal()
        found.addr_(self.mean(), self.mean(), alpha=-1)  # in place: it can be large
        found.diagonal().add_(rounding)
        return found

    def state(self) -> Dict[str, Any]:
        """Return everything as plain tensors; `load` takes it back."""
        return {**vars(self), "count": torch.tensor(self.count)}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> "Moments":
        """Return what `state` was made of."""
        moments = object.__new__(cls)
        vars(moments).update(state, count=int(state["count"]))
        return moments


@contextlib.contextmanager
def gathering(
    layers: Mapping[str, nn.Module], norms: Mapping[str, int]
) -> Iterator[Dict[str, Moments]]:
    """Gather the moments of layers while a model runs, forward and backward.

    Args:
        layers: The layers by name.
        norms: The dimension that layer norms among them are over.

    Yields:
        Their moments by name.
    """
    found = {name: Moments(layer) for name, layer in layers.items()}
    handles = []

    def watch(moments: Moments, dim: Optional[int]) -> Any:
        def hook(layer: nn.Module, args: Any, output: torch.Tensor) -> None:
            moments.add(layer, args[0], -1 if dim is None else dim)
            if output.requires_grad and dim is None:
                output.register_hook(lambda g: moments.add_gradient(layer, g))

        return hook

    try:
        for name, layer in layers.items():
            handles.append(
                layer.register_forward_hook(watch(found[name], norms.get(name)))
            )
        yield found
    finally:
        for handle in handles:
            handle.remove()
