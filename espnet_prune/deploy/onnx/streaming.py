# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Contextual-block models as a step: a block in, what it says out, and its state.

`runtime/blocks.py` cuts speech into what steps read, mirrors its ends, and counts.
"""

import logging
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import torch
from torch import nn

from espnet_prune.deploy.onnx.context import ContextEncoder
from espnet_prune.deploy.onnx.encoder import Model
from espnet_prune.deploy.onnx.tracing import trace
from espnet_prune.utils import PathLike, UserError

STEP = "step.onnx"
STATES = ("frames", "context", "blocks")
AUTO, TRUE, FALSE = CHOICES = ("auto", "true", "false")


class Step(nn.Module):
    """One block of an utterance, from samples or features to CTC.

    Args:
        model: Whole utterances of the same model; see `why_not`.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.front, self.norm, self.before = model.front, model.norm, model.before
        self.encoder = model.encoder

    def forward(
        self,
        x: torch.Tensor,
        last: torch.Tensor,
        frames: torch.Tensor,
        context: torch.Tensor,
        blocks: torch.Tensor,
    ) -> Tuple[torch.Tensor, ...]:
        """Hear what a block has that the one before had not.

        Args:
            x: Samples (1, S), or features (1, T, C), that the new frames read.
            last: 1 for the last block of an utterance, else 0; (1,).
            frames: The first frames of the block (1, K, d), which are known; none at
                the begin of an utterance.
            context: What the block before has heard, at each layer (1, layers, d).
            blocks: How many were before; (1,).

        Returns:
            Log-probabilities (1, T', V) of the frames that it says, and the states for
            the next block.
        """
        encoder = self.encoder
        if self.front is not None:
            x = self.front.bare(x, (x.size(1) - self.front.win) // self.front.hop + 1)
        count = torch.ones(1, dtype=torch.long) * x.size(1)
        x = x if self.norm is None else self.norm(x, count)
        x = x if self.before is None else self.before(x)
        x, _, count = encoder.embed(x, count)
        x, count = torch.cat((frames, x), dim=1), count + frames.size(1)
        x = torch.cat((x, torch.zeros(1, encoder.block, encoder.width)), dim=1)
        x, first, final, found = x[:, : encoder.block], blocks == 0, last == 1, []

        def before(layer: int, own: torch.Tensor) -> torch.Tensor:
            found.append(own)
            return torch.where(first, own, context[:, layer : layer + 1])

        y = encoder.encode(x, count, blocks, first & final, before)
        begin = torch.where(first, 0, encoder.past)
        end = torch.where(final, count, encoder.past + encoder.hop)
        y = y[:, torch.arange(begin[0], end[0])]
        new = x[:, encoder.hop :], torch.cat(found, dim=1), blocks + 1
        return (*encoder.said(y), *new)


def why_not(model: Model) -> Optional[str]:
    """Return why a model cannot hear speech as it comes, or None if it can."""
    if not isinstance(model.encoder, ContextEncoder):
        return (
            "the encoder hears whole utterances; contextual_block_conformer and "
            "contextual_block_transformer hear speech as it comes"
        )
    if model.front is not None and not hasattr(model.front, "bare"):
        return "the front end is a self-supervised model, which hears whole utterances"
    if model.encoder.ctc_lo is None:
        return "the model has no CTC, by which a block says its tokens"
    if hasattr(model.norm, "means"):
        return (
            "normalize: utterance_mvn needs the whole utterance; train it with "
            "normalize: global_mvn"
        )
    return None


def check_stream(model: Model, asked: str) -> None:
    """Say before long work that there will be no step.

    Args:
        model: Of whole utterances.
        asked: One of `CHOICES`.

    Raises:
        UserError: It is asked for, and cannot be.
    """
    why = why_not(model)
    if why and asked == TRUE:
        raise UserError(f"--stream true: {why}")
    if why and asked == AUTO and isinstance(model.encoder, ContextEncoder):
        logging.warning(f"the model is deployed for whole utterances only: {why}")


def write_step(
    model: Model, path: PathLike, input_size: Optional[int] = None
) -> Dict[str, Any]:
    """Write the step of a model.

    Args:
        model: Of whole utterances.
        path: The file.
        input_size: Width of its features, unless it takes speech.

    Returns:
        What a runtime must know; see `Layout` in `runtime/blocks.py`.
    """
    encoder, layout = model.encoder, layout_of(model)
    count = layout["reads"] + 2 * layout["frame"]
    x = torch.randn(1, count, *(() if model.speech else (input_size or 1,)))
    kept = torch.randn(1, encoder.block - encoder.hop, encoder.width)
    context = torch.randn(1, len(encoder.blocks), encoder.width)
    one = torch.ones(1, dtype=torch.long)
    name = "speech" if model.speech else "feats"
    outputs = ["log_probs", *(f"new_{state}" for state in STATES)]
    axes = {name: {1: "S"}, "frames": {1: "K"}, "log_probs": {1: "said"}}
    given, names = (x, one, kept, context, one), (name, "last", *STATES)
    with torch.no_grad():
        trace(Step(model), given, Path(path), names, outputs, axes)
    return layout


def layout_of(model: Model) -> Dict[str, int]:
    """Return which samples, or features, the frames of a model read."""
    reads, step = 1, 1
    for kernel, stride in model.encoder.embed.chain:
        reads, step = reads + (kernel - 1) * step, step * stride
    first, shortest, front = 0, reads, model.front
    if front is not None:
        first, shortest = front.first, (reads - 1) * front.hop + front.span
        reads, step = (reads - 1) * front.hop + front.win, step * front.hop
    encoder = model.encoder
    return {
        "block": encoder.block,
        "hop": encoder.hop,
        "look_ahead": encoder.ahead,
        "frame": step,
        "first": first,
        "reads": reads,
        "shortest": shortest,
    }
