# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A removal path on disk, so that more sizes can be had without calibrating again."""

import hashlib
import logging
from pathlib import Path
from typing import Mapping

import torch

from espnet_prune.select.obs.path import RemovalPath, Round
from espnet_prune.select.obs.statistics import Moments
from espnet_prune.select.plan import Plan
from espnet_prune.utils import PathLike, UserError, atomic_torch_save, load_tensors

FILE = "path.pth"
MOST_BYTES = 1 << 30  # of what calibration has gathered; more is not written


def fingerprint(state: Mapping[str, torch.Tensor]) -> str:
    """Return a checksum of tensors."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def save_path(path: RemovalPath, folder: PathLike) -> bool:
    """Write a path; say whether it was, because there is a limit to its size.

    Args:
        path: A path that has come to its end.
        folder: Where `FILE` goes.
    """
    size = sum(m.gram.nbytes for r in path.rounds for m in r.moments.values())
    if size > MOST_BYTES:
        logging.warning(
            f"What calibration has gathered is not kept ({size / 1e9:.1f} GB): another "
            "size needs another calibration"
        )
        return False
    rounds = [
        {**vars(r), "moments": {name: m.state() for name, m in r.moments.items()}}
        for r in path.rounds
    ]
    content = {
        "dense": fingerprint(path.dense),
        "damping": torch.tensor(path.damping, dtype=torch.float64),
        "end": path.end,
        "rounds": dict(enumerate(rounds)),
    }
    atomic_torch_save(content, Path(folder) / FILE)
    return True


def load_path(folder: PathLike, plan: Plan) -> RemovalPath:
    """Read a path of the same model.

    Args:
        folder: Where `FILE` is.
        plan: A plan for the dense model, whatever its budget.

    Raises:
        UserError: There is no path, or it is of another model.
    """
    file = Path(folder) / FILE
    content = load_tensors(file)
    path = RemovalPath(plan, float(content["damping"]))
    if content.get("dense") != fingerprint(path.dense):
        raise UserError(
            f"{file} is of another model than the one given; calibrate again, with "
            "another output directory"
        )
    path.end = content["end"]
    for _, stored in sorted(content["rounds"].items()):
        moments = {
            name: Moments.from_state(state) for name, state in stored["moments"].items()
        }
        path.rounds.append(Round(**{**stored, "moments": moments}))
    return path
