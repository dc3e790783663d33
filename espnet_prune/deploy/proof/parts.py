# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The files of a deployed directory against ESPnet's model, part by part."""

from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np

from espnet_prune.deploy.proof.compare import (
    BAR_FEATURES,
    BAR_SPEECH,
    agreement,
    difference,
    together,
)
from espnet_prune.deploy.proof.reference import Reference
from espnet_prune.deploy.proof.signals import Signals, padded
from espnet_prune.runtime import steps
from espnet_prune.runtime.session import open_session

HYPOTHESES, TOKENS = 3, 12  # of a decoder's proof
Report = Dict[str, Any]


def run(session: Any, rows: List[np.ndarray]) -> List[Dict[str, np.ndarray]]:
    """Run an encoder's file on one padded batch.

    Args:
        session: Of model.onnx.
        rows: Utterances (samples,) or (frames, features).

    Returns:
        Its outputs (T', ...) for each row, without padding.
    """
    batch = padded(rows)
    names = [part.name for part in session.get_outputs()]
    given = "feats" if rows[0].ndim > 1 else "speech"
    feeds = {given: batch["rows"], "lengths": batch["lengths"]}
    found = dict(zip(names, session.run(None, feeds)))
    lengths = found.pop("out_lengths")
    return [
        {name: value[number, :length] for name, value in found.items()}
        for number, length in enumerate(lengths)
    ]


def prove_encoder(
    path: Path, reference: Reference, signals: Signals, bar: float
) -> Report:
    """Compare model.onnx with ESPnet, every row of every case with its utterance alone.

    Args:
        path: The file.
        reference: The model in ESPnet.
        signals: Inputs of such a model.
        bar: The largest difference allowed.

    Returns:
        The worst of all cases, see `together`, and "cases": each by its name.
    """
    session, cases, every = open_session(path, 1), {}, []
    for case in signals.cases():
        rows = []
        for row, got in zip(case.rows, run(session, case.rows)):
            wanted = reference.heard(row)
            each = [difference(wanted[name], got[name], bar) for name in got]
            if max(one["relative"] for one in each) > bar:
                exact = reference.exactly(row)
                for name, one in zip(got, each):
                    own = difference(exact[name], wanted[name], bar)["relative"]
                    one["rounding"] = own
            rows.append({**together(each, bar), "frames": each[0]["frames"]})
        cases[case.name] = together(rows, bar)
        every += rows
    return {**together(every, bar), "cases": cases}


def prove_decoder(
    files: Mapping[str, Path], reference: Reference, hidden: np.ndarray, vocab: int
) -> Report:
    """Compare memory.onnx and decoder.onnx with ESPnet, token by token.

    Args:
        files: The two by the names of their parts; memory may not be there.
        reference: The model in ESPnet.
        hidden: Its encoder_out (T', D).
        vocab: Tokens that there are.

    Returns:
        See `together`.
    """
    tokens = drawn(vocab)
    got = steps.said({n: open_session(p, 1) for n, p in files.items()}, hidden, tokens)
    wanted = reference.decoded(hidden, tokens)
    rows = [difference(w, g, BAR_FEATURES) for w, g in zip(wanted, got)]
    return together(rows, BAR_FEATURES)


def prove_transducer(
    files: Mapping[str, Path], reference: Reference, hidden: np.ndarray, vocab: int
) -> Dict[str, Report]:
    """Compare prediction.onnx and joint.onnx with ESPnet, token by token.

    Args:
        files: The two by the names of their parts.
        reference: The model in ESPnet.
        hidden: Its encoder_out (T', D).
        vocab: Tokens that there are.

    Returns:
        See `together`, of both.
    """
    tokens = drawn(vocab)
    wanted = reference.predicted(tokens)
    got = steps.predicted(open_session(files["prediction"], 1), tokens)
    rows = [difference(w, g, BAR_FEATURES) for w, g in zip(wanted, got)]
    for row in rows:  # not probabilities: there is no best one
        row["others"] = 0
    states = wanted.reshape(-1, wanted.shape[-1])
    frames = steps.frames_for(hidden, len(states))
    wanted = reference.joined(frames, states)
    joint = open_session(files["joint"], 1)
    feeds = {"encoder_frame": frames, "prediction": states}
    got = joint.run(["log_probs"], feeds)[0]
    return {
        "prediction": together(rows, BAR_FEATURES),
        "joint": together([difference(wanted, got, BAR_FEATURES)], BAR_FEATURES),
    }


def drawn(vocab: int) -> np.ndarray:
    """Return tokens of some hypotheses (B, L)."""
    draw = np.random.default_rng(0)
    return draw.integers(0, vocab, (HYPOTHESES, TOKENS), dtype=np.int64)


def compare_encoders(full: Path, small: Path, signals: Signals) -> Report:
    """Compare model.int8.onnx with model.onnx on speech of 5 and of 20 s.

    Returns:
        {"relative", "alike": share of frames with the same best token, "frames"}.
    """
    sessions = [open_session(path, 1) for path in (full, small)]
    rows = []
    for seed, seconds in enumerate((5, 20)):
        speech = signals.of(signals.size(seconds), 20 + seed)
        wanted, got = (run(session, [speech])[0] for session in sessions)
        name = "log_probs" if "log_probs" in wanted else "encoder_out"
        rows.append(agreement(wanted[name], got[name]))
    return shared(rows)


def compare_steps(
    full: Mapping[str, Path],
    small: Mapping[str, Path],
    hidden: np.ndarray,
    vocab: int,
) -> Report:
    """Compare decoder files, or those of a transducer, of two precisions.

    Args:
        full: Files by part, in fp32.
        small: The same parts, those in int8 that there are.
        hidden: encoder_out (T', D).
        vocab: Tokens that there are.

    Returns:
        As `compare_encoders`.
    """
    tokens, found = drawn(vocab), []
    for files in (full, small):
        opened = {name: open_session(path, 1) for name, path in files.items()}
        out = steps.said(opened, hidden, tokens)
        found.append(out.reshape(-1, out.shape[-1]))
    return shared([agreement(*found)])


def shared(rows: List[Report]) -> Report:
    """Return the worst difference, and the share of frames that are alike."""
    frames = sum(row["frames"] for row in rows)
    return {
        "relative": max(row["relative"] for row in rows),
        "alike": sum(row["alike"] for row in rows) / frames,
        "frames": frames,
    }


def bar_of(package: Mapping[str, Any]) -> float:
    """Return the bar of a model's encoder."""
    return BAR_FEATURES if package.get("feature_size") else BAR_SPEECH
