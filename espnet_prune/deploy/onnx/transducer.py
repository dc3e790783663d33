# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Transducers as two files: the prediction network, and the joint network.

prediction.onnx takes the last token of every hypothesis and what the recurrent layers
have kept; joint.onnx what it returns, and a frame of the encoder.
"""

import copy
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
from torch import nn

from espnet_prune.deploy.onnx.tracing import trace
from espnet_prune.utils import PathLike, UserError

PREDICTION, JOINT = "prediction.onnx", "joint.onnx"
# attribute with the recurrent layers of a class, none where it keeps no state
_LAYERS = {"TransducerDecoder": "decoder", "RNNDecoder": "rnn", "StatelessDecoder": ""}


def export_transducer(model: nn.Module, out_dir: PathLike) -> Dict[str, Path]:
    """Write the prediction and the joint network of a transducer as ONNX files.

    Args:
        model: ESPnet's model, stock or cut, in evaluation mode.
        out_dir: Directory for prediction.onnx and joint.onnx.

    Returns:
        The files by the names that config.json gives them, prediction and joint.

    Raises:
        UserError: A prediction network of another kind, or one for several blanks.
    """
    check_transducer(model)
    files = {"prediction": PREDICTION, "joint": JOINT}
    paths = {name: Path(out_dir, file) for name, file in files.items()}
    prediction = _Prediction(_plain(model.decoder))
    tokens, states = torch.zeros(2, 1, dtype=torch.long), prediction.states(2)
    names = [f"state_{i}" for i, _ in enumerate(states)]
    inputs, outputs = ["tokens", *names], ["prediction", *(f"new_{n}" for n in names)]
    given, axes = (tokens, *states), {name: {0: "B"} for name in [*inputs, *outputs]}
    trace(prediction, given, paths["prediction"], inputs, outputs, axes)
    joint = _plain(model.joint_network)
    sizes = joint.lin_enc.in_features, joint.lin_dec.in_features
    # one frame of one row meets all hypotheses, so its rows have a name of their own
    axes = {"encoder_frame": {0: "F"}, "prediction": {0: "B"}, "log_probs": {0: "B"}}
    given = tuple(torch.randn(2, size) for size in sizes)
    names = list(axes)
    trace(_Joint(joint), given, paths["joint"], names[:2], names[2:], axes)
    return paths


def check_transducer(model: nn.Module) -> None:
    """Refuse a transducer that cannot be exported.

    Args:
        model: ESPnet's model.

    Raises:
        UserError: A prediction network of another kind, or one for several blanks.
    """
    kind = type(model.decoder).__name__
    if kind not in _LAYERS:
        what = f"transducer decoder {kind} cannot be exported to ONNX: recurrent and "
        what += "stateless ones can"
    elif getattr(model, "transducer_multi_blank_durations", None):
        what = "model_conf: transducer_multi_blank_durations: transducers of several "
        what += "blanks cannot be exported to ONNX"
    else:
        return
    raise UserError(f"{what}; recognise by CTC alone, with --decoder false")


def _plain(module: Any) -> nn.Module:
    if hasattr(module, "score_cache"):
        module.score_cache = {}  # of the last utterance
    return copy.deepcopy(module).cpu().float().eval()


class _Prediction(nn.Module):
    """Tokens (B, 1) and states (B, layers, D) -> (B, D) and new states."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.embed = decoder.embed
        attribute = _LAYERS[type(decoder).__name__]
        self.layers = getattr(decoder, attribute) if attribute else nn.ModuleList()

    def states(self, count: int) -> List[torch.Tensor]:
        """Return the states of hypotheses without tokens."""
        if not len(self.layers):
            return []
        shape = (count, len(self.layers), self.layers[0].hidden_size)
        kinds = 2 if isinstance(self.layers[0], nn.LSTM) else 1
        return [torch.zeros(shape) for _ in range(kinds)]

    def forward(
        self, tokens: torch.Tensor, *states: torch.Tensor
    ) -> Tuple[torch.Tensor, ...]:
        x, found = self.embed(tokens), []
        for i, layer in enumerate(self.layers):
            before = tuple(state[:, i][None] for state in states)
            lstm = len(before) > 1
            x, after = layer(x, before if lstm else before[0])
            found.append(after if lstm else (after,))
        new = [torch.cat(kind).transpose(0, 1) for kind in zip(*found)]
        return (x[:, 0], *new)


class _Joint(nn.Module):
    """A frame (B, D_e) or (1, D_e) and predictions (B, D_p) -> log_probs (B, V)."""

    def __init__(self, joint: nn.Module) -> None:
        super().__init__()
        self.joint = joint

    def forward(
        self, encoder_frame: torch.Tensor, prediction: torch.Tensor
    ) -> torch.Tensor:
        return self.joint(encoder_frame, prediction).log_softmax(-1)
