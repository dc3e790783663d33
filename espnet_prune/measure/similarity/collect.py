# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Collect the hidden states between the blocks of an encoder."""

import contextlib
import logging
from typing import Any, Iterable, Iterator, List, Optional, Sequence

import numpy as np
import torch
from torch import nn

from espnet_prune.distill.capture import first
from espnet_prune.models import encoded
from espnet_prune.progress import progress
from espnet_prune.units.blocks import blocks_of
from espnet_prune.units.chunks import frames_of
from espnet_prune.utils import UserError

MODES = ("utterance", "frame")


class _Capture:
    """Hooks that keep what enters each block, what leaves the last, and the lengths.

    Everything is seen by the consumer's eyes: x_l is the input of block l + 1, so it
    includes what self-conditioned intermediate CTC adds between two blocks. The output
    of the last block is taken before `after_norm`, as all others are.
    """

    def __init__(self, encoder: nn.Module) -> None:
        blocks = list(encoder.encoders)
        self.number = len(blocks)
        self.clear()
        # dict.fromkeys: a block that occurs twice gets one hook, which runs twice
        self.handles = [
            *(b.register_forward_pre_hook(self._enter) for b in dict.fromkeys(blocks)),
            blocks[-1].register_forward_hook(self._leave),
            encoder.register_forward_hook(self._end),
        ]

    def clear(self) -> None:
        """Forget the last batch."""
        self.states: List[torch.Tensor] = []
        self.lengths: List[int] = []

    def _enter(self, _: nn.Module, args: Any) -> None:
        self.states.append(first(args[0]))

    def _leave(self, _: nn.Module, __: Any, output: Any) -> None:
        self.last = first(output[0])

    def _end(self, encoder: nn.Module, _: Any, output: Any) -> None:
        self.lengths, total = output[1].tolist(), first(output).size(1)
        self.states = [frames_of(x, encoder, total) for x in (*self.states, self.last)]

    def real_frames(self) -> List[List[torch.Tensor]]:
        """Return the real frames (T_i, C) by state and utterance, no empty ones.

        Raises:
            UserError: Blocks change the number of frames.
        """
        if (
            len(self.states) != self.number + 1
            or len({x.shape[:2] for x in self.states}) != 1
        ):
            raise UserError(
                "blocks of the encoder are left out or change the number of frames "
                "(encoder_conf: ctc_trim?), so that their states cannot be compared"
            )
        return [
            [x[i, :length] for i, length in enumerate(self.lengths) if length > 0]
            for x in self.states
        ]

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self.handles:
            handle.remove()


class _Reservoir:
    """A uniform sample of the frames of a stream, in bounded memory (Vitter 1985)."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seen = size, 0
        self.random = np.random.default_rng(seed)
        self.kept: List[np.ndarray] = []

    def add(self, states: Sequence[np.ndarray]) -> None:
        """Offer the next frames (k, d) of all states."""
        if not self.kept:
            self.kept = [np.empty((self.size, x.shape[1])) for x in states]
        index = np.arange(self.seen, self.seen + len(states[0]))
        self.seen += len(index)
        slots = np.where(index < self.size, index, self.random.integers(0, index + 1))
        chosen = np.flatnonzero(slots < self.size)
        # a later frame drives an earlier one out of its slot
        last = {slots[i]: i for i in chosen}
        for kept, x in zip(self.kept, states):
            kept[list(last)] = x[list(last.values())]

    def result(self) -> List[np.ndarray]:
        """Return the sample of every state, (n, d), in random order."""
        # neighbours are alike; measures that take batches of samples should not see it
        order = self.random.permutation(min(self.seen, self.size))
        return [x[order] for x in self.kept]


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and every module back afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def _run(model: nn.Module, batch: Any, device: torch.device) -> bool:
    """Encode a batch; False if all of it is too short for the subsampling."""
    try:
        encoded(model, {key: value.to(device) for key, value in batch.items()})
    except Exception as error:
        # the class lives at another place in every other release of ESPnet
        if type(error).__name__ != "TooShortUttError":
            raise
        return False
    return True


@torch.no_grad()
def collect_states(
    model: nn.Module,
    batches: Iterable[Any],
    mode: str = "utterance",
    *,
    max_samples: Optional[int] = None,
    seed: int = 0,
) -> List[np.ndarray]:
    """Collect what passes between the blocks, in one pass over unlabelled audio.

    x_0 is what enters block 1, x_l what block l hands to block l + 1, and x_N the
    output of the last block before `after_norm`. Padded frames are left out. ESPnet's
    convolutions do see them, though, so that in a padded batch an utterance differs
    from the same one alone; batches of one length, as `Utterances` makes them, have no
    such effect.

    Args:
        model: An `ESPnetASRModel` whose encoder keeps its blocks in `encoders`. It is
            run in eval mode on the device where it is, and nothing of it changes.
        batches: What ESPnet's iterators give: (utterance ids, dict with speech (B, L)
            and speech_lengths (B,)).
        mode: "utterance": a sample is the mean over the frames of an utterance.
            "frame": a sample is a frame.
        max_samples: Stop after so many utterances, or draw so many frames, uniformly
            from all; absent: all of them, and 10,000 frames.
        seed: Seed of the drawing.

    Returns:
        N+1 arrays (n, d) in float64, row i of all from the same utterance or frame.

    Raises:
        UserError: Unknown mode; an encoder without blocks; blocks that change the
            number of frames; no utterance that is long enough.
    """
    if mode not in MODES:
        raise UserError(f"mode '{mode}' is not known; give {' or '.join(MODES)}")
    encoder = model.encoder
    blocks_of(encoder)
    device = next(model.parameters()).device
    reservoir, means, count = _Reservoir(max_samples or 10_000, seed), [], 0
    offered = skipped = 0
    total = len(batches) if hasattr(batches, "__len__") else None
    bar, capture = progress(total, "hidden states", "batches"), _Capture(encoder)
    try:
        with _evaluating(model):
            for ids, batch in batches:
                capture.clear()
                offered += len(ids)
                frames = [[]]
                if _run(model, batch, device):
                    frames = capture.real_frames()
                skipped += len(ids) - len(frames[0])
                bar.update()
                if not frames[0]:
                    continue
                if mode == "frame":
                    reservoir.add([torch.cat(x).double().cpu().numpy() for x in frames])
                    continue
                means.append(
                    [
                        torch.stack([y.double().mean(0) for y in x]).cpu().numpy()
                        for x in frames
                    ]
                )
                count += len(frames[0])
                if max_samples is not None and count >= max_samples:
                    break
    finally:
        capture.remove()
    if skipped:
        logging.warning(
            f"{skipped} of {offered} utterances are too short, and left out"
        )
    if skipped == offered:
        raise UserError("no utterance is long enough for the encoder; give other data")
    if mode == "frame":
        return reservoir.result()
    return [np.concatenate(x)[:max_samples] for x in zip(*means)]
