# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A whole model as it is exported: speech or features in, CTC and encoder out."""

from typing import Any, List, Optional, Tuple

import torch
from torch import nn

from espnet_prune.deploy.onnx.blocks import exported_block
from espnet_prune.deploy.onnx.context import ContextEncoder, is_contextual
from espnet_prune.deploy.onnx.embed import Wave, exported_embed
from espnet_prune.deploy.onnx.frames import Frames
from espnet_prune.deploy.onnx.frontend import exported_front, exported_norm
from espnet_prune.utils import UserError


class Encoder(nn.Module):
    """An encoder of any family, with CTC on top and between its blocks.

    Args:
        encoder: ESPnet's or ours, dense or cut, in evaluation mode; it is left as it
            is, and its weights are shared.
        ctc: CTC module of the model, or None.

    Raises:
        UserError: It drops frames by what CTC says, or reads tokens.
    """

    def __init__(self, encoder: nn.Module, ctc: Any = None) -> None:
        super().__init__()
        if getattr(encoder, "ctc_trim", False):
            raise UserError("encoder_conf: ctc_trim: true cannot be exported")
        self.frames = Frames()
        self.embed = exported_embed(encoder.embed, self.frames)
        self.blocks = nn.ModuleList(
            exported_block(block, self.frames) for block in encoder.encoders
        )
        # Branchformers always end with a norm, but what stands between blocks does not
        # pass it
        ends = getattr(encoder, "normalize_before", True)
        self.after_norm = encoder.after_norm if ends else nn.Identity()
        self.norm_taps = getattr(encoder, "normalize_before", False)
        self.ctc_lo = None if ctc is None else ctc.ctc_lo
        self.taps: List[int] = []
        if ctc is not None:
            self.taps = sorted(getattr(encoder, "interctc_layer_idx", None) or [])
        conditioned = getattr(encoder, "interctc_use_conditioning", False)
        self.conditioning = encoder.conditioning_layer if conditioned else None

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, List[torch.Tensor]]:
        """Encode x (N, T, C), or a wave (N, S).

        Returns:
            The output (N, T', d), its lengths (N,), and log-probabilities of CTC
            (N, T', V) at its end and at every tap, if there is CTC.
        """
        x, positions, lengths = self.embed(x, lengths)
        between = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x if positions is None else (x, positions), None)[0]
            x = x[0] if isinstance(x, tuple) else x
            if number in self.taps:
                logits = self.ctc_lo(self.after_norm(x) if self.norm_taps else x)
                between.append(logits.log_softmax(-1))
                if self.conditioning is not None:
                    x = x + self.conditioning(logits.softmax(-1))
        x = self.after_norm(x)
        if self.ctc_lo is None:
            return x, lengths, []
        return x, lengths, [self.ctc_lo(x).log_softmax(-1), *between]


class Model(nn.Module):
    """From speech or features to what `model.onnx` gives.

    Args:
        encoder: Of the model.
        ctc: CTC module, or None.
        frontend: ESPnet's DefaultFrontend, one of ours, or None.
        normalize: Normalisation of its features, or None.
        preencoder: ESPnet's LinearProjection before the encoder, or None.
        hidden: Whether the encoder's output is an output.

    Raises:
        UserError: A part cannot be exported; see `Encoder`, `LogMel`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        ctc: Any = None,
        frontend: Optional[nn.Module] = None,
        normalize: Optional[nn.Module] = None,
        preencoder: Optional[nn.Module] = None,
        hidden: bool = False,
    ) -> None:
        super().__init__()
        self.before = None
        self.front = exported_front(frontend)
        self.norm = exported_norm(normalize)
        if preencoder is not None:
            self.before = preencoder.linear_out
        kind = ContextEncoder if is_contextual(encoder) else Encoder
        self.encoder, self.hidden = kind(encoder, ctc), hidden or ctc is None
        self.speech = self.front is not None or isinstance(self.encoder.embed, Wave)

    def outputs(self) -> List[str]:
        """Return the names of the outputs, in their order."""
        ctc = [] if self.encoder.ctc_lo is None else ["log_probs"]
        names = [*ctc, "out_lengths", *(["encoder_out"] if self.hidden else [])]
        return names + [f"log_probs_{tap}" for tap in self.encoder.taps]

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Tuple:
        """Run speech (N, S) or features (N, T, C); see `outputs`."""
        real = torch.arange(x.size(1)) < lengths[:, None]
        # whatever stands beside an utterance, even what is not a number
        x = torch.where(real if x.dim() == 2 else real[..., None], x, 0.0)
        if self.front is not None:
            x, lengths = self.front(x, lengths)
        if self.norm is not None:
            x = self.norm(x, lengths)
        if self.before is not None:
            x = self.before(x)
        x, lengths, found = self.encoder(x, lengths)
        return (*found[:1], lengths, *([x] if self.hidden else []), *found[1:])
