# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a model says in ESPnet: of one utterance alone, and of given tokens."""

from typing import Any, Dict

import numpy as np
import torch

from espnet_prune.cutting.verify import in_float64


class Reference:
    """A model of ESPnet, asked one utterance at a time.

    Args:
        model: The model; it is put into eval mode.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model: Any = model.eval()

    @torch.no_grad()
    def heard(self, row: np.ndarray) -> Dict[str, np.ndarray]:
        """Return the outputs for an utterance (samples,) or (frames, features).

        Returns:
            encoder_out (T', D), and where there is CTC log_probs (T', V) and those of
            intermediate blocks.
        """
        return self._heard(torch.from_numpy(row)[None])

    @torch.no_grad()
    def exactly(self, row: np.ndarray) -> Dict[str, np.ndarray]:
        """Return the same as `heard`, computed in float64."""
        with in_float64(self.model):
            return self._heard(torch.from_numpy(row).double()[None])

    def _heard(self, batch: torch.Tensor) -> Dict[str, np.ndarray]:
        hidden, _ = self.model.encode(batch, torch.tensor([batch.shape[1]]))
        hidden, between = hidden if isinstance(hidden, tuple) else (hidden, [])
        found = {"encoder_out": hidden}
        if self.model.ctc is not None:
            found["log_probs"] = self.model.ctc.log_softmax(hidden)
            for block, one in between:
                found[f"log_probs_{block}"] = self.model.ctc.log_softmax(one)
        return {name: tensor[0].numpy() for name, tensor in found.items()}

    @torch.no_grad()
    def decoded(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Return what the attention decoder says after each of some tokens.

        Args:
            hidden: encoder_out (T', D).
            tokens: (B, L), of B hypotheses.

        Returns:
            Log-probabilities (B, L, V).
        """
        count, length = tokens.shape
        memory = torch.from_numpy(hidden)[None].expand(count, -1, -1)
        lengths = torch.full((count,), len(hidden))
        given = torch.full((count,), length)
        out = self.model.decoder(memory, lengths, torch.from_numpy(tokens), given)[0]
        return out.log_softmax(-1).numpy()

    @torch.no_grad()
    def predicted(self, tokens: np.ndarray) -> np.ndarray:
        """Return the prediction network's outputs (B, L, D) after each token."""
        return self.model.decoder(torch.from_numpy(tokens)).numpy()

    @torch.no_grad()
    def joined(self, hidden: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return log-probabilities (B, V) of frames (B, D) and predictions (B, D)."""
        joint = self.model.joint_network
        out = joint(torch.from_numpy(hidden), torch.from_numpy(predicted))
        return out.log_softmax(-1).numpy()
