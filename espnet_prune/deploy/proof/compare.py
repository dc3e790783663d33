# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""How far two answers are apart, and whether that is more than rounding."""

from typing import Any, Dict, Iterable, List

import numpy as np

from espnet_prune.utils import UserError

BAR_SPEECH = 1e-4  # of the largest output, from raw audio
BAR_FEATURES = 1e-5  # ... and from features or hidden states
OWN = 3.0  # times the rounding of ESPnet's own float32, where that is more
CLEAR = 10.0  # a frame is clear where its two best differ by so many bars


class NotProven(UserError):
    """A file does not say what the model says."""


def difference(wanted: np.ndarray, got: np.ndarray, bar: float) -> Dict[str, Any]:
    """Compare two outputs (frames, values).

    Args:
        wanted: What ESPnet says.
        got: What a file says.
        bar: The largest difference allowed, as a share of the largest value.

    Returns:
        {"relative": largest difference as that share (infinite where shapes or numbers
        are wrong), "frames", "others": clear frames with another best value}.
    """
    if wanted.shape != got.shape or not np.isfinite(got).all():
        return {"relative": float("inf"), "frames": len(wanted), "others": len(wanted)}
    largest = float(np.abs(wanted).max(initial=0.0)) or 1.0
    share = float(np.abs(wanted - got).max(initial=0.0)) / largest
    best = np.sort(wanted, -1)[:, -2:]
    clear = best[:, -1] - best[:, 0] > CLEAR * bar * largest
    others = clear & (wanted.argmax(-1) != got.argmax(-1))
    return {"relative": share, "frames": len(wanted), "others": int(others.sum())}


def together(found: Iterable[Dict[str, Any]], bar: float) -> Dict[str, Any]:
    """Return the worst of some differences, the sums, and whether all pass.

    Where a model turns the rounding of its own float32 into more than the bar, as a
    norm over two values does, so much is allowed: "rounding" is how far ESPnet's
    float32 is from its float64.
    """
    rows: List[Dict[str, Any]] = list(found)
    worst = max(row["relative"] for row in rows)
    others = sum(row["others"] for row in rows)
    rounding = max(row.get("rounding", 0.0) for row in rows)
    near = [row["relative"] <= max(bar, OWN * row.get("rounding", 0.0)) for row in rows]
    return {
        **({"rounding": rounding} if rounding else {}),
        "relative": worst,
        "bar": bar,
        "frames": sum(row["frames"] for row in rows),
        "others": others,
        "passed": all(near) and others == 0,
    }


def agreement(wanted: np.ndarray, got: np.ndarray) -> Dict[str, Any]:
    """Compare outputs (frames, values) of full and of reduced precision.

    Returns:
        {"relative": as in `difference`, "frames", "alike": those with the same best
        value}.
    """
    found = difference(wanted, got, 0.0)
    same = wanted.shape == got.shape
    alike = int((wanted.argmax(-1) == got.argmax(-1)).sum()) if same else 0
    return {"relative": found["relative"], "frames": len(wanted), "alike": alike}
