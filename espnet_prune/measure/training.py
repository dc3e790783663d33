# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a training step of a whole model takes: operations and memory."""

import argparse
import dataclasses
import math
import time
from typing import Any, Dict, Optional

import torch
from torch import nn

from espnet_prune.measure.duration import RATE, rate_of

FLOAT = 4  # bytes
TOKENS = 4  # in a second of speech


@dataclasses.dataclass(frozen=True)
class StepCost:
    """One forward and backward pass over one utterance, nothing skipped.

    Attributes:
        seconds: Length of the utterance.
        flops: Floating point operations of both passes, two for each multiply-add.
        forward_flops: Those of the forward pass, which is all that a teacher does.
        activations: Bytes kept for the backward pass, in float32.
        weights: Bytes of the weights.
        state: Bytes of weights, gradients and the moments of Adam, in float32.
        took: Seconds that the step took on this machine.
    """

    seconds: float
    flops: float
    forward_flops: float
    activations: int
    weights: int
    state: int
    took: float


def measure_step(
    model: nn.Module,
    seconds: float = 10.0,
    num_tokens: Optional[int] = None,
    rate: int = RATE,
) -> StepCost:
    """Run one step of an ESPnet ASR model on noise, and count.

    Operations are counted by torch's `FlopCounterMode`: matrix products and
    convolutions. It does not see inside fused attention, so attention runs on the
    math path, which also keeps all of its activations; and it prices the backward pass
    of a grouped convolution as if there were no groups, which is set right.

    Args:
        model: An `ESPnetASRModel`; its gradients are dropped afterwards.
        seconds: Length of the utterance.
        num_tokens: Length of its text; default four a second.
        rate: Samples per second, see `rate_of`.

    Returns:
        The cost. Layers that are dropped at random take part.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    kept: Dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    samples = int(seconds * rate)
    length = max(2, int(TOKENS * seconds)) if num_tokens is None else num_tokens
    text = torch.full((1, length), 2)
    text[:, ::2] = 1  # no repetitions, which CTC separates by blanks
    training, rates = model.training, _dropped(model)
    model.train()
    start = time.perf_counter()
    try:
        for module, name, _ in rates:
            setattr(module, name, 0.0)
        counter = FlopCounterMode(
            display=False,
            custom_mapping={torch.ops.aten.convolution_backward: _backward_flops},
        )
        with counter, sdpa_kernel(SDPBackend.MATH):
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                loss, _, _ = model(
                    speech=torch.randn(1, samples) * 0.1,
                    speech_lengths=torch.tensor([samples]),
                    text=text,
                    text_lengths=torch.tensor([length]),
                )
            forward = counter.get_total_flops()
            loss.sum().backward()
    finally:
        for module, name, rate in rates:
            setattr(module, name, rate)
        model.zero_grad(set_to_none=True)
        model.train(training)
    weights = FLOAT * sum(p.numel() for p in model.parameters())
    learned = FLOAT * sum(p.numel() for p in model.parameters() if p.requires_grad)
    return StepCost(
        seconds=seconds,
        flops=float(counter.get_total_flops()),
        forward_flops=float(forward),
        activations=sum(kept.values()),
        weights=weights,
        state=weights + 3 * learned,
        took=time.perf_counter() - start,
    )


def _backward_flops(
    grad_shape: Any, x_shape: Any, w_shape: Any, *rest: Any, **_
) -> int:
    """Count the backward pass of a convolution: one of its forward passes for each of
    the gradients of input and weight that are wanted.
    """
    transposed, wanted = rest[4], rest[7]
    positions = math.prod(x_shape if transposed else grad_shape)
    return 2 * positions * math.prod(w_shape[1:]) * (int(wanted[0]) + int(wanted[1]))


def _dropped(model: nn.Module) -> Any:
    """Return (module, name, value) of every rate at which layers are left out."""
    return [
        (module, name, getattr(module, name))
        for module in model.modules()
        for name in ("layer_drop_rate", "stochastic_depth_rate")
        if isinstance(getattr(module, name, None), float)
    ]


def batch_seconds(args: argparse.Namespace, seconds: float, vocab: int) -> float:
    """Return how much padded speech a mini-batch holds.

    Args:
        args: Options of the training. `batch_bins` of type numel count samples, and
            every token as the size of the vocabulary, as in ESPnet; `folded` is for
            utterances of 5 seconds unless `fold_length` says otherwise.
        seconds: Length of an utterance.
        vocab: Size of the vocabulary.

    Returns:
        Seconds of all utterances of the batch, of at least one.
    """
    rate = rate_of(vars(args))
    if args.batch_type in ("numel", "length"):
        size = vocab if args.batch_type == "numel" else 1
        number = args.batch_bins // (seconds * (rate + TOKENS * size))
    else:
        number = args.batch_size
        if args.batch_type == "folded":
            number //= 1 + int(seconds * rate / (args.fold_length or [5 * rate])[0])
    return max(1, number) * seconds


def num_steps(args: argparse.Namespace, hours: float, batch: float) -> int:
    """Return the optimiser steps of a training.

    Args:
        args: Options of the training.
        hours: Speech in an epoch.
        batch: Seconds of speech in a mini-batch.
    """
    batches = max(1.0, hours * 3600 / batch)
    if args.num_iters_per_epoch is not None:
        batches = min(batches, args.num_iters_per_epoch)
    return max(1, int(batches * args.max_epoch / args.accum_grad))
