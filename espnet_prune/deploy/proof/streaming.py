# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""step.onnx against ESPnet: whole utterances, and ESPnet's own streaming."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import torch

from espnet_prune.deploy.proof.compare import difference, together
from espnet_prune.deploy.proof.reference import Reference
from espnet_prune.deploy.proof.signals import Signals
from espnet_prune.families.contextual_block import streamed
from espnet_prune.runtime.blocks import log_probs
from espnet_prune.runtime.session import open_session

_SIZES = (4000, 333, 16000, 10**9)  # of the chunks in which it comes
Report = Dict[str, Any]


def prove_step(
    path: Path,
    layout: Mapping[str, int],
    reference: Reference,
    signals: Signals,
    bar: float,
) -> Report:
    """Compare step.onnx with ESPnet's passes over whole utterances and over blocks.

    Args:
        path: The file.
        layout: Content of `stream` in config.json.
        reference: The model in ESPnet.
        signals: Inputs of such a model.
        bar: The largest difference allowed.

    Returns:
        The worst of all cases, see `together`, and "cases": each by its name.
    """
    session, cases = open_session(path, 1), {}
    for name, row, size in cases_of(layout, signals):
        got = log_probs(session, layout, row, size)
        wanted = [reference.heard(row)["log_probs"], by_blocks(reference, row)]
        rows = [difference(one, got, bar) for one in wanted]
        if max(one["relative"] for one in rows) > bar:
            exact = reference.exactly(row)["log_probs"]
            for right, one in zip(wanted, rows):
                one["rounding"] = difference(exact, right, bar)["relative"]
        cases[name] = {**together(rows, bar), "frames": len(got)}
    return {**together(cases.values(), bar), "cases": cases}


def cases_of(
    layout: Mapping[str, int], signals: Signals
) -> List[Tuple[str, np.ndarray, int]]:
    """Return utterances by name, and the chunks they come in."""
    block, hop = layout["block"], layout["hop"]
    counts = {
        "less than a block": max(1, block // 2),
        "one block": block,
        "a frame more than a block": block + 1,
        "two blocks": block + hop,
        "a frame more than two blocks": block + hop + 1,
        "many blocks": 5 * block + hop // 2,
    }
    found = []
    for number, (name, count) in enumerate(counts.items()):
        size = max(layout["shortest"] + (count - 1) * layout["frame"], signals.shortest)
        chunk = _SIZES[number % len(_SIZES)]
        found.append((name, signals.of(size + number, 30 + number), chunk))
    found.append(("the shortest", signals.of(signals.shortest, 29), 1))
    return found


@torch.no_grad()
def by_blocks(reference: Reference, row: np.ndarray) -> np.ndarray:
    """Return what ESPnet's encoder says (T', V) where features come in pieces.

    Args:
        reference: The model in ESPnet.
        row: Samples (S,), or features (T, C).
    """
    model = reference.model
    batch = torch.from_numpy(row)[None]
    features, _ = model._extract_feats(batch, torch.tensor([len(row)]))
    if model.normalize is not None:
        features, _ = model.normalize(features, torch.tensor([features.size(1)]))
    if getattr(model, "preencoder", None) is not None:
        features, _ = model.preencoder(features, torch.tensor([features.size(1)]))
    found = streamed(model.encoder, features)
    return model.ctc.log_softmax(found[None])[0].numpy()
