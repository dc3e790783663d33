# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Decoders, prediction and joint networks over given tokens, for proofs and checks."""

import re
from typing import Any, Dict, List, Mapping

import numpy as np

Feeds = Dict[str, np.ndarray]


def _names(parts: List[Any]) -> List[str]:
    return [part.name for part in parts]


def _empty(session: Any, count: int, prefix: str) -> Feeds:
    """Return what caches or states hold before the first token."""
    found = {}
    for part in session.get_inputs():
        if re.match(prefix, part.name):
            sizes = [n if isinstance(n, int) else 0 for n in part.shape]
            sizes[0] = count
            found[part.name] = np.zeros(sizes, np.float32)
    return found


def decoded(session: Any, memory: Feeds, tokens: np.ndarray) -> np.ndarray:
    """Return log-probabilities (B, L, V) after each of some tokens, with caches.

    Half of the way the hypotheses change places, and back at the end, as a beam search
    reorders them.

    Args:
        session: Of decoder.onnx.
        memory: Keys and values of the source attention, by name.
        tokens: (B, L).
    """
    count, length = tokens.shape
    inputs = _names(session.get_inputs())
    outputs = _names(session.get_outputs())
    caches = _empty(session, count, "cache_")
    shared = {name: value for name, value in memory.items() if name in inputs}
    order, found = np.arange(count), []
    for step in range(length):
        if step == length // 2:
            order = order[::-1].copy()
            caches = {name: value[::-1].copy() for name, value in caches.items()}
        feeds = {"tokens": tokens[order, step : step + 1], **shared, **caches}
        got = dict(zip(outputs, session.run(None, feeds)))
        caches = {name: got[f"new_{name}"] for name in caches}
        back = np.empty_like(got["log_probs"])
        back[order] = got["log_probs"]
        found.append(back)
    return np.stack(found, 1)


def predicted(session: Any, tokens: np.ndarray) -> np.ndarray:
    """Return outputs (B, L, D) of a prediction network after each of some tokens.

    Args:
        session: Of prediction.onnx.
        tokens: (B, L).
    """
    outputs = _names(session.get_outputs())
    states, found = _empty(session, len(tokens), "state_"), []
    for step in range(tokens.shape[1]):
        feeds = {"tokens": tokens[:, step : step + 1], **states}
        got = dict(zip(outputs, session.run(None, feeds)))
        states = {name: got[f"new_{name}"] for name in states}
        found.append(got["prediction"])
    return np.stack(found, 1)


def frames_for(hidden: np.ndarray, count: int) -> np.ndarray:
    """Return some frames (count, D) of hidden (T', D), over and over if need be."""
    return hidden[np.arange(count) % len(hidden)]


def said(opened: Mapping[str, Any], hidden: np.ndarray, tokens: np.ndarray) -> Any:
    """Return what a decoder, or prediction and joint network, says after tokens.

    Args:
        opened: Sessions of its parts by name.
        hidden: encoder_out (T', D).
        tokens: (B, L).

    Returns:
        Log-probabilities (B, L, V).
    """
    if "decoder" not in opened:
        states = predicted(opened["prediction"], tokens)
        flat = states.reshape(-1, states.shape[-1])
        feeds = {"encoder_frame": frames_for(hidden, len(flat)), "prediction": flat}
        out = opened["joint"].run(["log_probs"], feeds)[0]
        return out.reshape(*tokens.shape, -1)
    memory: Feeds = {}
    if "memory" in opened:  # some block looks at the encoder
        found = opened["memory"].run(None, {"encoder_out": hidden[None]})
        memory = dict(zip(_names(opened["memory"].get_outputs()), found))
    return decoded(opened["decoder"], memory, tokens)
