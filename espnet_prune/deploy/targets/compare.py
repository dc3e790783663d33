# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Texts by the real package of a runtime, and by ours, utterance by utterance."""

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np

from espnet_prune.deploy.proof.compare import NotProven
from espnet_prune.deploy.targets.listen import heard
from espnet_prune.deploy.targets.target import Part, Slot
from espnet_prune.runtime.recognizer import Recognizer

WHOLE = {"piece": 1e6, "overlap": 0.0}  # seconds: no utterance is cut
FEW = 0.05  # share of utterances that int8 may make of another text, or one
# distance of the two best log-probabilities of a frame where int8 may choose: features
# that differ by rounding change scales that are made while running, and with these
# log-probabilities of an AN4 model by up to 0.53 in one and the same onnxruntime
CLOSE = 0.5
Speech = Mapping[str, np.ndarray]
Report = Dict[str, Any]


def compare(slot: Slot, folder: Path, out: Path, part: Part, speech: Speech) -> Report:
    """Compare what is heard in speech.

    Args:
        slot: The way into a runtime.
        folder: What it has written.
        out: The deployed directory.
        part: Which of its models.
        speech: Samples (S,) by utterance; too short ones are left out.

    Returns:
        {"model": its directory in `out`, "precision", "alike", "of", "differ": rows of
        utterance, ours, theirs and gap}; a gap is the
        smallest distance of the two best log-probabilities of a frame by our runtime.

    Raises:
        NotProven: The runtime cannot read its files. Texts differ in fp32; or in int8
            in more utterances than rounding explains, or in one where no two tokens
            were as close.
    """
    ours = Recognizer(
        out / part.folder,
        precision=part.precision,
        decoding="ctc_greedy",
        **({} if slot.cuts else WHOLE),
    )
    shortest = ours.config.min_samples
    speech = {key: row for key, row in speech.items() if len(row) >= shortest}
    try:
        theirs = heard(slot, folder, part, list(speech.values()))
    except BrokenProcessPool as error:
        raise NotProven(
            f"{slot.name}: the runtime gave up on its files; what it said is above"
        ) from error
    differ: List[Report] = []
    for (key, samples), text in zip(speech.items(), theirs):
        wanted = ours(samples).text
        if text == slot.spaced(wanted):
            continue
        row = {"utterance": key, "ours": wanted, "theirs": text}
        differ.append({**row, "gap": gap(ours, samples)})
    found = {
        "model": part.folder,
        "precision": part.precision,
        "alike": len(speech) - len(differ),
        "of": len(speech),
        "differ": differ,
    }
    _require(found, slot)
    return found


def gap(recognizer: Recognizer, samples: np.ndarray) -> float:
    """Return the smallest distance of the two best log-probabilities of a frame."""
    lengths = np.array([len(samples)], np.int64)
    given = {"speech": samples[None], "lengths": lengths}
    names = ["log_probs", "out_lengths"]
    log_probs, frames = recognizer.session.run(names, given)
    best = np.sort(log_probs[0, : frames[0]], axis=1)
    return round(float((best[:, -1] - best[:, -2]).min()), 6)


def most_others(precision: str, count: int) -> int:
    """Return how many of so many texts may be others than ours."""
    # other releases of onnxruntime round int8 differently
    return max(1, int(FEW * count)) if precision == "int8" else 0


def _require(found: Report, slot: Slot) -> None:
    """Stop unless texts are alike, or as near to it as int8 can be.

    Raises:
        NotProven: The first that differs too much is named.
    """
    differ, precision = found["differ"], found["precision"]
    allowed = most_others(precision, found["of"])
    far = [row for row in differ if row["gap"] > CLOSE]
    if len(differ) <= allowed and not far:
        return
    first = (far or differ)[0]
    raise NotProven(
        f"{slot.name}: {len(differ)} of {found['of']} texts in {precision} are others "
        f"than ours (at most {allowed}, and where two tokens are within {CLOSE:g}), "
        f"e.g. of {first['utterance']}: '{first['theirs']}' instead of "
        f"'{first['ours']}', where they are {first['gap']:g} apart"
    )
