# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Masks as forward hooks: nothing is subclassed while selecting."""

import contextlib
import copy
from collections import OrderedDict
from typing import Any, Dict, Iterator, List

import torch
from torch import nn

from espnet_prune.units.graph import Masks, Unit, UnitGraph


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
            module = encoder.get_submodule(unit.point.module)
            if unit.point.when == "pre":
                handle = module.register_forward_pre_hook(self._pre(unit))
            else:
                handle = module.register_forward_hook(self._post(unit))
            self._handles.append(handle)

    def _multiply(self, x: torch.Tensor, unit: Unit) -> torch.Tensor:
        mask = self.values.get(unit.name)
        if mask is None:
            return x
        mask = mask.to(device=x.device, dtype=x.dtype)
        if unit.point.group > 1:
            mask = mask.repeat_interleave(unit.point.group)
        shape = [1] * x.dim()
        shape[unit.point.dim] = -1
        return x * mask.view(shape)

    def _pre(self, unit: Unit) -> Any:
        def hook(module: nn.Module, args: Any) -> Any:
            return (self._multiply(args[0], unit), *args[1:])

        hook.is_mask = True
        return hook

    def _post(self, unit: Unit) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            return self._multiply(output, unit)

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


def without_masks(encoder: nn.Module) -> nn.Module:
    """Return a deep copy of an encoder that no mask multiplies any more."""
    kept: List[Any] = []
    for module in encoder.modules():
        for name in ("_forward_pre_hooks", "_forward_hooks"):
            hooks = getattr(module, name)
            if any(_is_mask(hook) for hook in hooks.values()):
                kept.append((module, name, hooks))
                others = {k: h for k, h in hooks.items() if not _is_mask(h)}
                setattr(module, name, OrderedDict(others))
        # attention weights of the last batch belong to a graph and cannot be copied
        if getattr(module, "attn", None) is not None:
            kept.append((module, "attn", module.attn))
            module.attn = None
    try:
        return copy.deepcopy(encoder)
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
