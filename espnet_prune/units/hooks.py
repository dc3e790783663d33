# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Masks as forward hooks: nothing is subclassed while selecting."""

import contextlib
import copy
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, Optional

import torch
from torch import nn

from espnet_prune.units.graph import MaskPoint, Masks, Unit, UnitGraph
from espnet_prune.units.norms import open_norm


class MaskHooks:
    """Multiply activations by masks while attached.

    Args:
        encoder: The encoder whose modules get hooks.
        graph: Its units.

    Attributes:
        values: Mask per unit name, (size,); a unit without an entry is left alone.
    """

    def __init__(self, encoder: nn.Module, graph: UnitGraph) -> None:
        self.values: Dict[str, torch.Tensor] = {}
        self._handles: List[Any] = []
        for unit in graph:
            for point in unit.points:
                module = encoder.get_submodule(point.module)
                if point.when in ("pre", "open"):
                    handle = module.register_forward_pre_hook(self._pre(unit, point))
                else:
                    make = self._norm if point.when == "norm" else self._post
                    handle = module.register_forward_hook(make(unit, point))
                self._handles.append(handle)

    def _multiply(self, x: torch.Tensor, unit: Unit, point: MaskPoint) -> torch.Tensor:
        mask = self.values.get(unit.name)
        if mask is None:
            return x
        if point.when == "open":
            mask = mask != 0
        mask = mask.to(device=x.device, dtype=x.dtype)
        if point.group > 1:
            mask = mask.repeat_interleave(point.group)
        shape = [1] * x.dim()
        shape[point.dim] = -1
        return x * mask.view(shape)

    def _pre(self, unit: Unit, point: MaskPoint) -> Any:
        def hook(module: nn.Module, args: Any) -> Any:
            return (self._multiply(args[0], unit, point), *args[1:])

        hook.is_mask = True
        return hook

    def _post(self, unit: Unit, point: MaskPoint) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            return self._multiply(output, unit, point)

        hook.is_mask = True
        return hook

    def _norm(self, unit: Unit, point: MaskPoint) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            mask = self.values.get(unit.name)
            if mask is None or bool((mask != 0).all()):
                return output
            x = args[0].transpose(point.dim, -1)
            normed = open_norm(module, x, mask != 0).to(output.dtype)
            return normed.transpose(point.dim, -1)

        hook.is_mask = True
        return hook

    def __deepcopy__(self, memo: Any) -> "MaskHooks":
        """Copy the values only: hooks belong to one encoder."""
        copied = object.__new__(MaskHooks)
        copied.values = {
            name: mask.detach().clone() for name, mask in self.values.items()
        }
        copied._handles = []
        return copied

    def remove(self) -> None:
        """Take the hooks off; the encoder is as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def without_masks(
    encoder: nn.Module, shared: Optional[Dict[int, torch.Tensor]] = None
) -> nn.Module:
    """Return a deep copy of an encoder that no mask multiplies any more.

    Args:
        encoder: The encoder, or a model.
        shared: What stands in the copy for tensors of the encoder, by their `id`;
            others are copied.
    """
    kept: List[Any] = []
    for module in encoder.modules():
        for name in ("_forward_pre_hooks", "_forward_hooks"):
            hooks = getattr(module, name)
            if any(_is_mask(hook) for hook in hooks.values()):
                kept.append((module, name, hooks))
                others = {k: h for k, h in hooks.items() if not _is_mask(h)}
                setattr(module, name, OrderedDict(others))
        # attention weights of the last batch belong to a graph and cannot be copied
        # (in a Branchformer block the attribute `attn` is the attention itself)
        if isinstance(getattr(module, "attn", None), torch.Tensor):
            kept.append((module, "attn", module.attn))
            module.attn = None
    try:
        return copy.deepcopy(encoder, dict(shared or {}))
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def _is_mask(hook: Any) -> bool:
    return getattr(hook, "is_mask", False)


@contextlib.contextmanager
def masked(encoder: nn.Module, graph: UnitGraph, masks: Masks) -> Iterator[nn.Module]:
    """Run an encoder under fixed masks, made consistent by `graph.close`."""
    hooks = MaskHooks(encoder, graph)
    hooks.values = graph.close(masks)
    try:
        yield encoder
    finally:
        hooks.remove()
