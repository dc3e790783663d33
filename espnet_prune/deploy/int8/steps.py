# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What ONNX files of a deployed model are given to be timed and calibrated."""

from pathlib import Path
from typing import Any, List, Mapping

import numpy as np

from espnet_prune.deploy.int8.quantize import Inputs
from espnet_prune.runtime.session import open_session

SECONDS = 10.0  # of speech
# sizes of the dimensions that have names, for what comes after the encoder: tokens
# before the last one, and what all hypotheses have in common
_SIZES = {"L": 20, "N": 1, "F": 1}


def of_speech(audio: np.ndarray, config: Mapping[str, Any]) -> Inputs:
    """Return the inputs of model.onnx for samples (S,) or features (T, C).

    Args:
        audio: The utterance.
        config: Content of config.json.
    """
    lengths = np.array([len(audio)], np.int64)
    return {config["input"]: audio[None].astype(np.float32), "lengths": lengths}


def typical(
    folder: Path, part: str, config: Mapping[str, Any], audio: Mapping[str, np.ndarray]
) -> Inputs:
    """Return inputs of a run as it is in the recognition of 10 s.

    Args:
        folder: The deployed model.
        part: Which of its files is meant.
        config: Content of config.json.
        audio: Utterances, which are put together.
    """
    if part == "model":
        count = round(SECONDS * config["sample_rate"])
        if config["input"] == "feats":  # a hundred of a second, as most front ends
            count = round(SECONDS * 100)
        pieces: List[np.ndarray] = []
        while sum(map(len, pieces)) < count:
            pieces += audio.values()
        return of_speech(np.concatenate(pieces)[:count], config)
    frames = round(1000 * SECONDS / config["frame_ms"])
    hypotheses = config["decoding"].get("beam_size", 10)
    sizes = {**_SIZES, "T": frames, "B": hypotheses}
    rng, found = np.random.default_rng(0), {}
    for given in open_session(folder / f"{part}.onnx").get_inputs():
        shape = [sizes.get(n, n) for n in given.shape]
        found[given.name] = (
            np.ones(shape, np.int64)
            if "int64" in given.type
            else rng.standard_normal(shape, np.float32)
        )
    return found
