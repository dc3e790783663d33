# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Whether a deployed directory is whole, and says here what it said where it was made.

A proof leaves `check.npz` beside the files: an input, and what they made of it.
"""

from pathlib import Path
from typing import Any, Dict, Mapping

import numpy as np

from . import blocks, steps
from .errors import UserError
from .files import PathLike, read_json, sha256
from .session import open_session

PROOF, RECORD = "deploy.json", "check.npz"


def check_files(folder: Path, proof: Mapping[str, Any]) -> None:
    """Compare the files of a directory with their hashes.

    Args:
        folder: The directory.
        proof: Content of its deploy.json.

    Raises:
        UserError: One is missing or another.
    """
    for name, wanted in proof["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: is missing; copy the whole directory again")
        if sha256(path) != wanted:
            raise UserError(
                f"{path}: is not the file that {PROOF} is about; copy the directory "
                "again, or prove it as it is now: espnet-prune prove"
            )


def outputs(
    folder: Path, config: Mapping[str, Any], record: Mapping[str, np.ndarray]
) -> Dict[str, np.ndarray]:
    """Return what the files of a directory make of a recorded input.

    Args:
        folder: The directory.
        config: Content of its config.json.
        record: input (samples,) or (frames, features), tokens (1, L) and, where there
            is a decoder, hidden (T', D).

    Returns:
        Outputs by part and precision, as in "model fp32": (frames or tokens, values).
    """
    found: Dict[str, np.ndarray] = {}
    files = config["files"]
    for precision in ("fp32", "int8"):
        paths = {
            part: folder / names.get(precision, names["fp32"])
            for part, names in files.items()
        }
        opened = {part: open_session(path, 1) for part, path in paths.items()}
        if precision in files["model"]:
            row = record["input"]
            given = "feats" if row.ndim > 1 else "speech"
            feeds = {given: row[None], "lengths": np.array([len(row)], np.int64)}
            session = opened["model"]
            first = session.get_outputs()[0].name  # log_probs, or without CTC hidden
            found[f"model {precision}"] = session.run([first], feeds)[0][0]
        if precision in files.get("step", {}):
            told = opened["step"], config["stream"], record["input"]
            found[f"step {precision}"] = blocks.log_probs(*told)
        others = [part for part in files if part not in ("model", "step")]
        if not any(precision in files[part] for part in others):
            continue
        said = steps.said(opened, record["hidden"], record["tokens"])
        found[f"decoder {precision}"] = said[0]
    return found


def check(folder: PathLike) -> Dict[str, float]:
    """Check a directory on the machine where it is used.

    Args:
        folder: What `deploy` has written.

    Returns:
        By file the largest difference from what was recorded, as a share of the largest
        value. That of int8 is no fault: processors round it differently.

    Raises:
        UserError: There is no proof, a file is missing, damaged or another, or fp32
            gives something else here.
    """
    folder = Path(folder)
    if not (folder / PROOF).is_file():
        raise UserError(f"{folder}: has no {PROOF}; give a directory that deploy wrote")
    proof, config = read_json(folder / PROOF), read_json(folder / "config.json")
    if not proof["passed"]:
        raise UserError(f"{folder}: the proof has failed: {proof['why']}")
    check_files(folder, proof)
    with np.load(folder / RECORD) as stored:
        record = dict(stored)
    found = {}
    for name, got in outputs(folder, config, record).items():
        wanted = record[name]
        largest = float(np.abs(wanted).max(initial=0.0)) or 1.0
        same = wanted.shape == got.shape and bool(np.isfinite(got).all())
        found[name] = float(np.abs(wanted - got).max()) / largest if same else np.inf
    for name, share in found.items():
        if name.endswith("fp32") and not share <= proof["bar"]:
            raise UserError(
                f"{folder}: {name} differs here by {share:.1e} of the largest value "
                f"from what was recorded (at most {proof['bar']:.0e}); install the "
                f"onnxruntime it was made with ({proof['versions']['onnxruntime']})"
            )
    return found
