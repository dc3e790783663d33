# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Similarity of the layers of one model, from its audio to the matrix."""

import logging
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from torch import nn

from espnet_prune.data.speech import Utterances, speech_entries
from espnet_prune.measure.similarity.collect import collect_states
from espnet_prune.measure.similarity.metrics import check_samples, similarity_matrix

# frames drawn in frame mode; dc compares all pairs
MAX_FRAMES = {"svcca": 10_000, "cka": 10_000, "dc": 4_000, "dc2": 10_000}


def measure_model(
    model: nn.Module,
    config: Mapping[str, Any],
    *,
    measure: str = "svcca",
    mode: str = "utterance",
    num_utts: int = 320,
    max_samples: Optional[int] = None,
    batch_size: int = 1,
    seed: int = 0,
    data: Optional[List[str]] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> Tuple[np.ndarray, Dict[str, Any]]:
    """Collect hidden states and compare all layers with all.

    Args:
        model: An `ESPnetASRModel`, on the device where it is to run.
        config: Its config.yaml.
        measure: "svcca", "cka", "dc" or "dc2".
        mode: A sample is the mean of an "utterance", or a "frame".
        num_utts: Utterances to draw.
        max_samples: Frames to draw in frame mode.
        batch_size: Utterances of one length encoded at once.
        seed: Seed of the drawing.
        data: "PATH,speech,TYPE" entries; the training data of the config by default.
        options: More arguments of the measure.

    Returns:
        The matrix (N+1, N+1), and what it was made of.

    Raises:
        UserError: See `speech_entries`, `check_samples`, `collect_states`.
    """
    entries = speech_entries(data, config, "config.yaml")
    batches = Utterances(entries, config, num_utts, batch_size, seed)
    utterances = len(batches.keys)
    if mode == "utterance":  # before the work, not after it
        check_samples(measure, utterances, model.encoder.output_size())
    logging.info(f"{utterances} utterances for {measure}, {mode} mode")
    limit = None
    if mode == "frame":
        limit = max_samples or MAX_FRAMES[measure]
    states = collect_states(model, batches, mode, max_samples=limit, seed=seed)
    samples, dims = states[0].shape
    if measure == "svcca" and dims < samples < 5 * dims:
        logging.warning(
            f"{samples} samples for {dims} dimensions: SVCCA comes out too high; "
            f"{5 * dims} or more samples are better (more utterances, or mode frame)"
        )
    about = {
        "measure": measure,
        **(options or {}),
        "mode": mode,
        "samples": samples,
        "utterances": utterances,
        "data": [",".join(entry) for entry in entries],
        "num_utts": num_utts,
        "seed": seed,
    }
    return similarity_matrix(states, measure, **(options or {})), about
