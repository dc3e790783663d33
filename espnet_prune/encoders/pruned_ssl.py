# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""wav2vec 2.0, HuBERT and WavLM as a front end of ESPnet, at any Structure.

It gives what ESPnet's `s3prl` and `huggingface` give for the same weights, and reads
their checkpoints, but needs neither of these packages. An utterance in a batch has the
features that it has alone, but for the group norm of the Base models.
"""

import math
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import nn

from espnet_prune.encoders.pruned import Prunable
from espnet_prune.encoders.wav2vec2 import Wav2Vec2Encoder
from espnet_prune.encoders.weights import to_ours
from espnet_prune.utils import UserError

HOP = 320  # samples of a frame, in s3prl for all of these models
# what stands before the names of a model's tensors in ESPnet's front ends
_PREFIXES = ("upstream.upstream.model.", "upstream.model.", "encoder.")
_SUM = "featurizer.weights"


class SSLFrontend(Wav2Vec2Encoder, AbsFrontend):
    """A self-supervised model whose hidden states are features.

    There is a hidden state before the first block and one after every block; the last
    one has passed the final norm, where there is one (Large), and the others have not.

    Args:
        input_size: 1, the width of raw speech.
        model: Whose sizes to take; see `Wav2Vec2Encoder`.
        multilayer_feature: Whether the features are a weighted sum of all hidden
            states, whose weights are trained; else they are the last one.
        final_norm: Whether the last hidden state passes the final norm. A model of
            which a lower layer is used ends there, without it.
        repeat_last: Whether there is a frame for every begun 320 samples, as s3prl
            makes them: what is missing repeats the last one.
        normalize_states: Bring every hidden state of a frame to mean 0 and variance 1.
        **others: See `Wav2Vec2Encoder`.

    Raises:
        UserError: See `Wav2Vec2Encoder`; or frames are not 320 samples apart.
    """

    def __init__(
        self,
        input_size: int = 1,
        model: str = "wav2vec2_base",
        multilayer_feature: bool = False,
        final_norm: bool = True,
        repeat_last: bool = True,
        normalize_states: bool = False,
        **others: Any,
    ) -> None:
        try:
            super().__init__(input_size, model, **others)
        except UserError as error:  # what it calls by its place as an encoder
            words = str(error).replace("encoder_conf", "frontend_conf")
            raise UserError(words) from error
        layers = self.embed.extractor.conv_layers
        hop = math.prod(layer.stride for layer in layers)
        if hop != HOP:
            raise UserError(
                f"frontend_conf: conv_layers give a frame in {hop} samples; the "
                f"strides of a front end must multiply to {HOP}"
            )
        self.final_norm = final_norm and self.normalize_before
        if self.normalize_before and not final_norm:
            del self.after_norm
        self.repeat_last, self.normalize_states = repeat_last, normalize_states
        self.hop_length = HOP
        self.layer_weights: Optional[nn.Parameter] = None
        if multilayer_feature:
            self.layer_weights = nn.Parameter(torch.zeros(len(self.encoders) + 1))

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Make features.

        Args:
            input: Samples (N, S), or (N, S, 1).
            input_lengths: How many there are (N,).

        Returns:
            Features (N, T, d) and their lengths (N,).

        Raises:
            ShortUtterance: An utterance that gives no frame.
            UserError: Speech of several channels.
        """
        x, masks = self.embed(self.wave_of(input, input_lengths), input_lengths)
        states, skipped = [_hidden(x)], torch.rand(len(self.encoders))
        for block, chance in zip(self.encoders, skipped):
            if not (self.training and chance < self.layer_drop_rate):
                x, masks = block(x, masks)[:2]
            states.append(_hidden(x))
        features, lengths = self.features(states), masks.squeeze(1).sum(1)
        if self.repeat_last:
            frames = torch.arange(-(-input.size(1) // HOP), device=input.device)
            frames = torch.minimum(frames, lengths[:, None] - 1)
            shape = (-1, -1, features.size(2))
            features = features.gather(1, frames[..., None].expand(shape))
            lengths = -torch.div(-input_lengths, HOP, rounding_mode="floor")
        return features[:, : int(lengths.max())], lengths

    def features(self, states: List[torch.Tensor]) -> torch.Tensor:
        """Return the features (N, T, d) of the hidden states, each (N, T, d).

        Args:
            states: What the first block takes, and what every block gives.
        """
        last = self.after_norm(states[-1]) if self.final_norm else states[-1]
        if self.layer_weights is None:
            return self._normal(last)
        *shares, end = self.shares()
        found = end * self._normal(last)
        for share, state in zip(shares, states):
            found = found + share * self._normal(state)
        return found

    def shares(self) -> torch.Tensor:
        """Return what every hidden state has in the sum, with the final one at the end.

        The state after a removed block is the one before it, which has both shares.

        Returns:
            (blocks + 2,): the state after the last block is counted once as it is, for
            all removed blocks behind it but the last, and once for the end.
        """
        assert self.layer_weights is not None
        shares = self.layer_weights.softmax(0)
        kept = getattr(self, "kept_blocks", range(len(shares) - 1))
        places = [sum(k < j for k in kept) for j in range(len(shares) - 1)]
        place = torch.tensor(places, device=shares.device)
        folded = shares.new_zeros(len(self.encoders) + 1)
        return torch.cat([folded.index_add(0, place, shares[:-1]), shares[-1:]])

    def _normal(self, state: torch.Tensor) -> torch.Tensor:
        if not self.normalize_states:
            return state
        return nn.functional.layer_norm(state, state.shape[-1:])

    def renamed(
        self, state: Mapping[str, torch.Tensor], prefix: str
    ) -> Dict[str, torch.Tensor]:
        """Give tensors of ESPnet's front ends the names that they have here.

        Blocks above a lower layer that is used, and a weighted sum that is not, are
        left out.

        Args:
            state: A state dict; one that has none of their names stays as it is.
            prefix: What stands before the names of this module's tensors.

        Raises:
            UserError: It is of such a model, but without the front end's weights.
        """
        others = {k: v for k, v in state.items() if not k.startswith(prefix)}
        inside = {k[len(prefix) :]: v for k, v in state.items() if k not in others}
        first = next((p for p in _PREFIXES if any(k.startswith(p) for k in inside)), "")
        if not first:
            if _SUM in inside:
                raise UserError(
                    "the checkpoint has the weights of the front end's sum and not its "
                    "model's, as with save_strategy: required_grad_only; give one that "
                    "was saved as a whole"
                )
            return dict(state)
        theirs = {k[len(first) :]: v for k, v in inside.items() if k.startswith(first)}
        own = self.state_dict()
        found = to_ours(theirs, self.conf)
        if self.layer_weights is not None and _SUM in inside:
            found["layer_weights"] = inside[_SUM]
        found = {k: v for k, v in found.items() if k in own or not _unused(k, own)}
        for key in ("embed.scale", "embed.mask_embedding"):
            if key in own:  # no published model has the first, few the second
                found.setdefault(key, own[key])
        return {**others, **{f"{prefix}{key}": v for key, v in found.items()}}


def _unused(key: str, own: Mapping[str, Any]) -> bool:
    """Say whether a tensor is of what stands behind the layer that is used."""
    block = re.match(r"encoders\.\d+\.", key)
    behind = block is not None and not any(k.startswith(block[0]) for k in own)
    return behind or key.startswith("after_norm.") or key == "embed.mask_embedding"


class PrunedSSLFrontend(Prunable, SSLFrontend):
    """`SSLFrontend` whose convolutions and blocks may differ in size.

    Args:
        structure: See `Prunable`.
        **others: See `Prunable` and `SSLFrontend`.
    """

    layer_drop = "both"

    def __init__(self, structure: Optional[dict] = None, **others: Any) -> None:
        super().__init__(1, structure, **others)


def _hidden(x: Any) -> torch.Tensor:
    return x[0] if isinstance(x, tuple) else x
