# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Record what flows through a model of ESPnet during one forward pass."""

import dataclasses
import functools
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from espnet_prune.units.blocks import listed
from espnet_prune.units.chunks import frames_of

CTCS = ("ctc", "st_ctc")  # what models call the heads that say tokens by frame,
DECODERS = ("decoder", "extra_asr_decoder")  # and those that attend to what they hear


@dataclasses.dataclass
class Head:
    """What a head was given, and what it said.

    Attributes:
        source: Which part of what `encode` returned it reads.
        lengths: Valid frames of that (#batch,).
        logits: (#batch, L', V), of a decoder (#batch, U, V).
        tokens: What a decoder was told, (#batch, U), and lengths (#batch,).
    """

    source: int
    lengths: torch.Tensor
    logits: torch.Tensor
    tokens: Optional[Tuple[torch.Tensor, torch.Tensor]] = None


def first(output: Any) -> torch.Tensor:
    """Return the tensor of a block output `((x, pos_emb), mask)` or `(x, mask)`."""
    while isinstance(output, (tuple, list)):
        output = output[0]
    return output


def watch_block_input(
    encoder: torch.nn.Module, callback: Callable[[torch.Tensor], None]
) -> Any:
    """Call back with what enters the first block; return the handle of the hook.

    That is what the front end gives: the first block itself may be skipped.

    Args:
        encoder: An encoder with a front end `embed` before its blocks, or with None.
        callback: Receives (#batch, L, D).
    """
    if getattr(encoder, "embed", None) is None:
        return encoder.register_forward_pre_hook(lambda module, args: callback(args[0]))
    return encoder.embed.register_forward_hook(
        lambda module, args, output: callback(first(output))
    )


class Capture:
    """Context manager that hooks a model of ESPnet's while its forward runs.

    The hooks live only inside the `with` block, so nothing is kept between steps.
    Blocks are told apart by their number: one that was skipped in this pass, by
    ESPnet's `layer_drop_rate` or by stochastic depth, hands on its input.

    Args:
        model: The student.
        blocks: Record the output of every encoder block.

    Attributes:
        feats: Input (#batch, L0, F) of the preencoder, if there is one, otherwise of
            the encoder, as after SpecAugment and normalisation.
        feats_lengths: (#batch,).
        hidden: What self-supervised masking hid, or None.
        block_input: What enters the first block (#batch, L, D), or None.
        blocks: Block outputs by number, each (#batch, L, D).
        lengths: Valid encoder frames (#batch,).
        asked: What the model's `encode` was called with.
        encoded: What it returned: hidden states (#batch, L', D) and lengths (#batch,)
            in turn, without those of intermediate blocks.
        heads: By name, of CTCs the final branch, of decoders those that attend to what
            is encoded.
    """

    def __init__(self, model: torch.nn.Module, blocks: bool = True):
        self.model = model
        self.with_blocks = blocks
        self.feats: Optional[torch.Tensor] = None
        self.feats_lengths: Optional[torch.Tensor] = None
        self.hidden: Optional[Any] = None
        self.block_input: Optional[torch.Tensor] = None
        self.blocks: List[torch.Tensor] = []
        self.lengths: Optional[torch.Tensor] = None
        self.asked: Tuple[Tuple[Any, ...], Dict[str, Any]] = (), {}
        self.encoded: List[torch.Tensor] = []
        self.heads: Dict[str, Head] = {}
        self._ran: Dict[int, torch.Tensor] = {}
        self._armed: Dict[str, Tuple[int, torch.Tensor]] = {}
        self._handles: List[Any] = []

    def __enter__(self) -> "Capture":
        model, add = self.model, self._handles.append
        encoder = model.encoder
        for module in (getattr(model, "preencoder", None), encoder):
            if module is not None:
                add(module.register_forward_pre_hook(self._input))
        add(encoder.register_forward_hook(self._encoder_output))
        if self.with_blocks:
            add(watch_block_input(encoder, self._begins))
            for number, block in enumerate(listed(encoder)):
                hook = functools.partial(self._block_output, number)
                add(block.register_forward_hook(hook))
        for name in CTCS:
            ctc = getattr(model, name, None)
            if ctc is not None:
                # the first call of CTC.forward is the final branch; interctc comes
                # later, self-conditioning calls softmax, which is not forward
                begins = functools.partial(self._ctc_begins, name)
                add(ctc.register_forward_pre_hook(begins))
                ends = functools.partial(self._ctc_output, name)
                add(ctc.ctc_lo.register_forward_hook(ends))
        for name in DECODERS:
            decoder = getattr(model, name, None)
            if decoder is not None:
                hook = functools.partial(self._decoder_output, name)
                add(decoder.register_forward_hook(hook))
        model.encode = functools.partial(self._encode, model.encode)
        return self

    def __exit__(self, *exc: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        del self.model.encode  # the method of its class is left
        ctc = getattr(self.model, "ctc", None)
        # models that know texts that are not available give CTC a copy of some rows
        if hasattr(self.model, "na") and ctc is not None and self.encoded:
            hidden, lengths = self.encoded[:2]
            self.heads["ctc"] = Head(0, lengths, ctc.ctc_lo(hidden))

    def _encode(self, encode, *args, **kwargs):
        answer = encode(*args, **kwargs)
        if not self.encoded:
            self.asked = args, kwargs
            self.encoded = [first(part) for part in answer]
        return answer

    def _source(self, given):
        """Return which part of what was encoded a head is given, None if it is none."""
        found = (i for i, part in enumerate(self.encoded) if part is given)
        return next(found, None)

    def _input(self, module, args):
        if self.feats is None:
            self.feats, self.feats_lengths = args[0], args[1]

    def _begins(self, hidden):
        self.block_input = hidden

    def _encoder_output(self, module, args, output):
        self.lengths = output[1]
        self.hidden = getattr(getattr(module, "embed", None), "hidden", None)
        if self.with_blocks:
            present = self.block_input
            for number in range(len(listed(module))):
                present = self._ran.get(number, present)
                total = first(output).size(1)
                self.blocks.append(frames_of(present, module, total))

    def _block_output(self, number, module, args, output):
        self._ran[number] = first(output)

    def _ctc_begins(self, name, module, args):
        source = self._source(args[0])
        if source is not None and name not in self.heads:
            self._armed[name] = source, args[1]

    def _ctc_output(self, name, module, args, output):
        if name in self._armed:
            self.heads[name] = Head(*self._armed.pop(name), output)

    def _decoder_output(self, name, module, args, output):
        source = self._source(args[0])
        if source is not None and name not in self.heads and len(args) >= 4:
            tokens = (args[2], args[3])
            self.heads[name] = Head(source, args[1], first(output), tokens)
