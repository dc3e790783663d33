# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Calibration: what the readers of all units see, and what removing units costs."""

import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterator, List, Mapping

import torch
from torch import nn

from espnet_prune.models import loss_only
from espnet_prune.progress import progress
from espnet_prune.select.obs.readers import Reader
from espnet_prune.select.obs.removal import (
    DAMPING,
    Curve,
    Layer,
    damped,
    removal_curve,
)
from espnet_prune.select.obs.speech import Heard
from espnet_prune.select.obs.statistics import Moments, gathering
from espnet_prune.units import MaskPoint, UnitGraph
from espnet_prune.utils import UserError

Readers = Mapping[str, List[Reader]]


@contextlib.contextmanager
def _gradients(model: nn.Module, root: nn.Module) -> Iterator[None]:
    """Let gradients reach all outputs in a root.

    Biases and norms ask for gradients, so that all that comes after them has one; the
    gradients of weights, a third of the work, are not needed.
    """
    asked = {p: p.requires_grad for p in model.parameters()}
    try:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in root.parameters():
            parameter.requires_grad_(parameter.dim() == 1)
        yield
    finally:
        for parameter, given in asked.items():
            parameter.requires_grad_(given)
            parameter.grad = None
        for module in model.modules():
            # some of ESPnet keep a tensor of their last run, and a graph with it
            for name, value in list(vars(module).items()):
                if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                    setattr(module, name, value.detach())


def gather(
    model: nn.Module,
    root: nn.Module,
    readers: Readers,
    norms: Mapping[str, List[MaskPoint]],
    heard: Heard,
) -> Dict[str, Moments]:
    """Run all utterances forward and backward; return the moments of what reads.

    Args:
        model: The model, in eval mode, cut as far as it is.
        root: The part of it that is pruned.
        readers: Readers of every vector of units.
        norms: Layer norms over the units of a vector.
        heard: The utterances.

    Raises:
        UserError: The loss is not a number.
    """
    dims = {p.module: p.dim for n in readers for p in norms.get(n, ())}
    paths = dict.fromkeys([r.layer for some in readers.values() for r in some])
    paths.update(dict.fromkeys(dims))
    layers = {path: root.get_submodule(path) for path in paths}
    bar = progress(len(heard), "calibrated on", "utterances")
    with loss_only(model), _gradients(model, root), gathering(layers, dims) as moments:
        for utterance in heard:
            loss = heard.loss(model, utterance)
            if not torch.isfinite(loss):
                raise UserError(
                    f"calibration: the loss of {utterance.name} is "
                    f"{float(loss.detach())}; is its text longer than its speech? "
                    "Leave it out"
                )
            loss.backward()
            bar.update()
    bar.close()
    for found in moments.values():
        found.fisher /= len(heard)
    return moments


def curves(
    root: nn.Module,
    graph: UnitGraph,
    readers: Readers,
    moments: Mapping[str, Moments],
    damping: float = DAMPING,
) -> Dict[str, Curve]:
    """Return in which order the units of every vector go, and what that costs.

    Args:
        root: What is pruned, as it was when the moments were gathered.
        graph: Its units.
        readers: Readers of every vector.
        moments: Moments of every reader.
        damping: See `damped`.
    """
    bar = progress(len(readers), "ordered", "vectors of units")

    def curve(name: str) -> Curve:
        some = readers[name]
        layers = [
            _layer(root.get_submodule(r.layer), moments[r.layer], r, damping)
            for r in some
        ]
        found = removal_curve(layers)
        if graph[name].module is not None:
            # a module takes its bias along
            first = some[0].layer
            whole = energy(root.get_submodule(first), moments[first])
            found.errors[-1] = max(found.errors[-1], whole)
        bar.update()
        return found

    if next(root.parameters()).device.type == "cpu":
        with one_thread_each() as workers:
            found = dict(zip(readers, workers.map(curve, readers)))
    else:  # a GPU shares a step among its own
        found = {name: curve(name) for name in readers}
    bar.close()
    return found


@contextlib.contextmanager
def one_thread_each() -> Iterator[ThreadPoolExecutor]:
    """Run vectors side by side, each on one thread.

    Their matrices are small and their steps many, so that threads that share a step
    would mostly wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=_settle) as workers:
            yield workers
    finally:
        torch.set_num_threads(threads)


def _settle() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # it is one of each thread


def flat_weight(layer: nn.Module) -> torch.Tensor:
    """Return the weight of a layer as (out, columns), float64."""
    return layer.weight.detach().flatten(1).double()


def _layer(layer: nn.Module, moments: Moments, reader: Reader, damping: float) -> Layer:
    weight = flat_weight(layer) * moments.fisher.sqrt()[:, None]
    bias = layer.bias is not None
    second = damped(moments.second(centred=bias), damping)
    return Layer(weight, second, reader.group, reader.own)


def energy(layer: nn.Module, moments: Moments) -> float:
    """Return the error that is made without the output of a layer, bias included."""
    weight, mean = flat_weight(layer), moments.mean()
    squares = ((weight @ moments.second(centred=True)) * weight).sum(1)
    middle = weight @ mean
    if layer.bias is not None:
        middle = middle + layer.bias.detach().double()
    return float((moments.fisher * (squares + middle.square())).sum())


def log_curves(found: Mapping[str, Curve]) -> None:
    """Log what half of every vector costs, at the debug level."""
    for name, curve in found.items():
        half: Any = curve.errors[len(curve.order) // 2]
        logging.debug(f"{name}: {half:.3g} without half, {curve.errors[-1]:.3g} in all")
