# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Whole blocks: leave them out at run time, and run an encoder block by block."""

import copy
from typing import Any, Callable, Iterable, List, NamedTuple, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.compat import MultiSequential
from espnet_prune.units.chunks import after_block, frames_of
from espnet_prune.utils import UserError


class SkippedBlock(nn.Module):
    """Stands where a block is left out; what sits between blocks stays in place."""

    def forward(self, x: Any, mask: torch.Tensor, *more: Any, **given: Any) -> Tuple:
        """Return the input: x (N, T, C), or with positions, the mask, and `more`."""
        return (x, mask, *after_block(more))


class State(NamedTuple):
    """What passes from block to block, of one batch.

    Attributes:
        x: (N, T, C), or a tuple with the positional embedding.
        mask: (N, 1, T), True at real frames.
        last: Index of the last block that ran, -1 before the first.
        lengths: Frames that the encoder returns, (N,).
        more: What a contextual block hands on beside; x is (N, chunks, frames, C).
        given: What every block takes by name, such as the memory of a prompt.
    """

    x: Any
    mask: torch.Tensor
    last: int
    lengths: torch.Tensor
    more: Tuple[Any, ...] = ()
    given: Tuple[Tuple[str, Any], ...] = ()

    def bytes(self) -> int:
        """Memory that only this state holds."""
        x = self.x[0] if isinstance(self.x, tuple) else self.x
        held = {id(t): t for t in (x, *self.more) if isinstance(t, torch.Tensor)}
        return sum(t.numel() * t.element_size() for t in held.values())

    def copied(self) -> Tuple[Any, ...]:
        """Return what the next block takes; it may write into what it is given."""
        if not self.more:
            return self.x, self.mask
        held: Any = {}
        for t in (self.x, *self.more):
            if isinstance(t, torch.Tensor) and id(t) not in held:
                held[id(t)] = t.clone()
        x, *more = (held.get(id(t), t) for t in (self.x, *self.more))
        return (x, self.mask, *more)


class _Recorder(SkippedBlock):
    """Keeps what enters the first block."""

    def forward(self, x: Any, mask: torch.Tensor, *more: Any, **given: Any) -> Tuple:
        self.seen, self.more, self.given = (x, mask), more, given
        return super().forward(x, mask, *more)


class BlockRunner:
    """Runs any subset of an encoder's blocks, from any state on.

    With all blocks it gives what the encoder's own forward gives.

    Args:
        encoder: The encoder; in eval mode, unless it learns.
        ctc: Its CTC module; self-conditioned intermediate CTC needs it.
        learns: Keep the graph of what runs, for a training.

    Raises:
        UserError: The encoder trims frames by CTC (`ctc_trim`).
    """

    def __init__(
        self, encoder: nn.Module, ctc: Any = None, learns: bool = False
    ) -> None:
        if getattr(encoder, "ctc_trim", False):
            raise UserError(
                "encoder_conf: ctc_trim drops frames between blocks; blocks cannot be "
                "searched with it, set it to false"
            )
        self.encoder, self.ctc, self.learns = encoder, ctc, learns
        self.blocks = blocks_of(encoder)
        self.taps: List[int] = []
        if getattr(encoder, "interctc_use_conditioning", False):
            self.taps = sorted(encoder.interctc_layer_idx)
        # Branchformer and E-Branchformer always end with `after_norm`; but what an
        # E-Branchformer conditions itself on does not pass it
        self.norm_end = getattr(encoder, "normalize_before", True)
        self.norm_taps = getattr(encoder, "normalize_before", False)

    def __len__(self) -> int:
        return len(self.blocks)

    @torch.no_grad()
    def start(self, run: Callable[[], Any]) -> State:
        """Return what enters the first block while `run` calls the encoder.

        Args:
            run: Calls the encoder, e.g. `lambda: model.encode(speech, lengths)`.
        """
        encoder, recorder = self.encoder, _Recorder()
        blocks, taps = encoder.encoders, getattr(encoder, "interctc_layer_idx", None)
        encoder.encoders = MultiSequential(recorder)
        if taps is not None:
            encoder.interctc_layer_idx = []
        lengths: List[torch.Tensor] = []
        handle = encoder.register_forward_hook(
            lambda module, args, output: lengths.append(output[1])
        )
        try:
            run()
        finally:
            handle.remove()
            encoder.encoders = blocks
            if taps is not None:
                encoder.interctc_layer_idx = taps
        given = tuple(recorder.given.items())
        return State(*recorder.seen, -1, lengths[-1], recorder.more, given)

    def advance(self, state: State, block: int) -> State:
        """Run one block, after the self-conditioning that sits before it."""
        with torch.set_grad_enabled(self.learns):
            x = self._condition(state, block)
            own = state._replace(x=x).copied()
            x, mask, *more = self.blocks[block](*own, **dict(state.given))
        return state._replace(x=x, mask=mask, last=block, more=tuple(more))

    def finish(self, state: State) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder output (N, T, C) and its lengths (N,)."""
        with torch.set_grad_enabled(self.learns):
            x = self._condition(state, len(self.blocks))
            x, total = x[0] if isinstance(x, tuple) else x, int(state.lengths.max())
            x = frames_of(x, self.encoder, total)
            if self.norm_end:
                x = self.encoder.after_norm(x)
        return x, state.lengths

    def _condition(self, state: State, block: int) -> Any:
        """Self-conditioning between the last block that ran and `block`."""
        x = state.x
        for tap in self.taps:
            if state.last < tap <= block:
                hidden = x[0] if isinstance(x, tuple) else x
                normed = hidden
                if self.norm_taps:
                    normed = self.encoder.after_norm(hidden)
                posterior = self.ctc.softmax(normed)
                hidden = hidden + self.encoder.conditioning_layer(posterior)
                x = (hidden, *x[1:]) if isinstance(x, tuple) else hidden
        return x


def listed(encoder: nn.Module) -> List[nn.Module]:
    """Return the blocks of an encoder, whatever holds them and runs them."""
    blocks = encoder.encoders
    return list(getattr(blocks, "blocks", blocks))


def width_of(encoder: nn.Module) -> int:
    """Return the width of what an encoder makes."""
    size = encoder.output_size
    return size() if callable(size) else size


def blocks_of(encoder: nn.Module) -> List[nn.Module]:
    """Return the blocks of an encoder that can be run one by one.

    Raises:
        UserError: It has none, or they hand on other things than ESPnet's usual ones.
    """
    blocks = getattr(encoder, "encoders", None)
    if not isinstance(blocks, Iterable):
        raise UserError(
            f"{type(encoder).__module__}.{type(encoder).__name__} has no blocks that "
            "run one by one; choose them by rule, with search: truncate, alternate or "
            "random in layers_conf, and cut them out"
        )
    return list(blocks)


def check_blocks(blocks: Iterable[int], number: int, where: str) -> List[int]:
    """Return sorted block numbers, 1-based.

    Raises:
        UserError: A number out of 1..`number`, or given twice.
    """
    found = list(blocks)
    for block in found:
        if isinstance(block, bool) or not isinstance(block, int):
            raise UserError(f"{where}: {block!r} is not a block number")
        if not 1 <= block <= number:
            raise UserError(
                f"{where}: there is no block {block}; the blocks are 1 to {number}"
            )
    if len(set(found)) != len(found):
        raise UserError(f"{where}: a block is given twice in {found}")
    return sorted(found)


def kept_after(removed: Sequence[int], number: int) -> List[int]:
    """Return the blocks that stay, 0-based; `removed` is 1-based."""
    without = set(removed)
    return [i for i in range(number) if i + 1 not in without]


def parse_blocks(text: str) -> List[int]:
    """Read "1-3,5 8": ranges and numbers.

    Raises:
        UserError: Something else than numbers and ranges.
    """
    blocks: List[int] = []
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UserError(f"blocks '{text}': write numbers and ranges, e.g. 1-6,8")
        blocks += range(int(first), int(last or first) + 1)
    return blocks


def set_blocks(
    encoder: nn.Module, blocks: Sequence[nn.Module], kept: Sequence[int]
) -> None:
    """Let an encoder run only some of its blocks, from now on.

    Left-out blocks keep their place, so that intermediate CTC and self-conditioning
    stay where they were.

    Args:
        encoder: The encoder; its weights are not touched.
        blocks: All its blocks, in order.
        kept: Indices of the blocks that run, 0-based.
    """
    chosen, before = set(kept), encoder.encoders
    encoder.encoders = MultiSequential(
        *[b if i in chosen else SkippedBlock() for i, b in enumerate(blocks)],
        layer_drop_rate=getattr(before, "layer_drop_rate", 0.0),
    )
    encoder.encoders.training = before.training  # see `replace_blocks`


def with_blocks(
    stack: nn.Module, kept: Sequence[int], blocks: str = "encoders"
) -> nn.Module:
    """Return a stack of some of the blocks that shares the weights of `stack`.

    Args:
        stack: The encoder or decoder; it is left as it is.
        kept: Indices of the blocks that run, 0-based.
        blocks: Path of its list of blocks.
    """
    view = _shallow(stack)
    if blocks != "encoders":  # no intermediate CTC counts the blocks
        first, _, rest = blocks.partition(".")
        if rest:  # what holds them is in between
            setattr(view, first, _shallow(getattr(stack, first)))
        replace_blocks(view, blocks, [stack.get_submodule(blocks)[i] for i in kept])
        return view
    set_blocks(view, list(stack.encoders), kept)
    return view


def _shallow(module: nn.Module) -> nn.Module:
    view = copy.copy(module)
    view._modules = dict(module._modules)
    return view


def replace_blocks(stack: nn.Module, path: str, blocks: Sequence[nn.Module]) -> None:
    """Give a stack other blocks, in place.

    Args:
        stack: An encoder or decoder.
        path: Path of its list of blocks.
        blocks: The new ones.
    """
    parent, _, name = path.rpartition(".")
    holder = stack.get_submodule(parent)
    before = getattr(holder, name)
    if isinstance(before, nn.ModuleList):
        setattr(holder, name, nn.ModuleList(blocks))
        if hasattr(holder, "keep_probs"):  # by which training leaves out blocks
            holder.blockdrop_decay = 1.0 / len(blocks)
            holder.keep_probs = torch.ones(len(blocks))
        return
    rate = getattr(before, "layer_drop_rate", 0.0)
    after = MultiSequential(*blocks, layer_drop_rate=rate)
    after.training = before.training  # else it would drop in evaluation
    setattr(holder, name, after)
