# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Record what flows through an ESPnet ASR model during one forward pass."""

import functools
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from espnet_prune.units.chunks import frames_of


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
    """Context manager that hooks an `ESPnetASRModel` while its forward runs.

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
        output_lengths: The same behind the postencoder, if there is one.
        ctc_logits: (#batch, L', V) of the final CTC branch, or None.
        decoder_inputs: (tokens (#batch, U), token lengths (#batch,)), or None.
        decoder_logits: (#batch, U, V), or None.
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
        self.output_lengths: Optional[torch.Tensor] = None
        self.ctc_logits: Optional[torch.Tensor] = None
        self.decoder_inputs: Optional[Tuple[torch.Tensor, torch.Tensor]] = None
        self.decoder_logits: Optional[torch.Tensor] = None
        self._ran: Dict[int, torch.Tensor] = {}
        self._armed = False
        self._handles: List[Any] = []

    def __enter__(self) -> "Capture":
        model, add = self.model, self._handles.append
        encoder = model.encoder
        for module in (getattr(model, "preencoder", None), encoder):
            if module is not None:
                add(module.register_forward_pre_hook(self._input))
        add(encoder.register_forward_hook(self._encoder_output))
        if getattr(model, "postencoder", None) is not None:
            add(model.postencoder.register_forward_hook(self._postencoder_output))
        if self.with_blocks:
            add(watch_block_input(encoder, self._begins))
            for number, block in enumerate(encoder.encoders):
                hook = functools.partial(self._block_output, number)
                add(block.register_forward_hook(hook))
        if getattr(model, "ctc", None) is not None:
            # the first call of CTC.forward is the final branch; interctc comes later,
            # self-conditioning calls softmax, which is not forward
            add(model.ctc.register_forward_pre_hook(self._ctc_begins))
            add(model.ctc.ctc_lo.register_forward_hook(self._ctc_output))
        if getattr(model, "decoder", None) is not None:
            add(model.decoder.register_forward_hook(self._decoder_output))
        return self

    def __exit__(self, *exc: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _input(self, module, args):
        if self.feats is None:
            self.feats, self.feats_lengths = args[0], args[1]

    def _begins(self, hidden):
        self.block_input = hidden

    def _encoder_output(self, module, args, output):
        self.lengths = self.output_lengths = output[1]
        self.hidden = getattr(getattr(module, "embed", None), "hidden", None)
        if self.with_blocks:
            present = self.block_input
            for number in range(len(module.encoders)):
                present = self._ran.get(number, present)
                total = first(output).size(1)
                self.blocks.append(frames_of(present, module, total))

    def _postencoder_output(self, module, args, output):
        self.output_lengths = output[1]

    def _block_output(self, number, module, args, output):
        self._ran[number] = first(output)

    def _ctc_begins(self, module, args):
        self._armed = self.ctc_logits is None

    def _ctc_output(self, module, args, output):
        if self._armed:
            self.ctc_logits, self._armed = output, False

    def _decoder_output(self, module, args, output):
        if self.decoder_logits is None and len(args) >= 4:
            self.decoder_inputs = (args[2], args[3])
            self.decoder_logits = first(output)
