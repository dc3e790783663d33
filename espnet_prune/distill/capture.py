# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Record what flows through an ESPnet ASR model during one forward pass."""

from typing import Any, Callable, List, Optional, Tuple

import torch


def first(output: Any) -> torch.Tensor:
    """Return the tensor of a block output `((x, pos_emb), mask)` or `(x, mask)`."""
    while isinstance(output, (tuple, list)):
        output = output[0]
    return output


def watch_block_input(
    encoder: torch.nn.Module, callback: Callable[[torch.Tensor], None]
) -> Any:
    """Call back with what enters the first block; return the handle of the hook.

    Args:
        encoder: An encoder with a list `encoders` of blocks.
        callback: Receives (#batch, L, D).
    """
    return encoder.encoders[0].register_forward_pre_hook(
        lambda module, args: callback(first(args[0]))
    )


class Capture:
    """Context manager that hooks an `ESPnetASRModel` while its forward runs.

    The hooks live only inside the `with` block, so nothing is kept between steps.

    Args:
        model: The student.
        blocks: Record the output of every encoder block.

    Attributes:
        feats: Encoder input (#batch, L0, F), as after SpecAugment and normalisation.
        feats_lengths: (#batch,).
        block_input: What enters the first block (#batch, L, D), or None.
        blocks: Block outputs, each (#batch, L, D).
        lengths: Valid encoder frames (#batch,).
        ctc_logits: (#batch, L, V) of the final CTC branch, or None.
        decoder_inputs: (tokens (#batch, U), token lengths (#batch,)), or None.
        decoder_logits: (#batch, U, V), or None.
    """

    def __init__(self, model: torch.nn.Module, blocks: bool = True):
        self.model = model
        self.with_blocks = blocks
        self.feats: Optional[torch.Tensor] = None
        self.feats_lengths: Optional[torch.Tensor] = None
        self.block_input: Optional[torch.Tensor] = None
        self.blocks: List[torch.Tensor] = []
        self.lengths: Optional[torch.Tensor] = None
        self.ctc_logits: Optional[torch.Tensor] = None
        self.decoder_inputs: Optional[Tuple[torch.Tensor, torch.Tensor]] = None
        self.decoder_logits: Optional[torch.Tensor] = None
        self._armed = False
        self._handles: List[Any] = []

    def __enter__(self) -> "Capture":
        model, add = self.model, self._handles.append
        encoder = model.encoder
        add(encoder.register_forward_pre_hook(self._encoder_input, with_kwargs=True))
        add(encoder.register_forward_hook(self._encoder_output))
        if self.with_blocks:
            add(watch_block_input(encoder, self._begins))
            for block in encoder.encoders:
                add(block.register_forward_hook(self._block_output))
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

    def _encoder_input(self, module, args, kwargs):
        self.feats, self.feats_lengths = args[0], args[1]

    def _begins(self, hidden):
        self.block_input = hidden

    def _encoder_output(self, module, args, output):
        self.lengths = output[1]

    def _block_output(self, module, args, output):
        self.blocks.append(first(output))

    def _ctc_begins(self, module, args):
        self._armed = self.ctc_logits is None

    def _ctc_output(self, module, args, output):
        if self._armed:
            self.ctc_logits, self._armed = output, False

    def _decoder_output(self, module, args, output):
        if self.decoder_logits is None and len(args) >= 4:
            self.decoder_inputs = (args[2], args[3])
            self.decoder_logits = first(output)
