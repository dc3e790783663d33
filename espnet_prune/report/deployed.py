# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What deploying a model has made of its size, time and memory."""

import logging
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from espnet_prune.measure.deployed import (
    CTC,
    ENCODER,
    PROOF,
    WHOLE,
    deployed_model,
    measure_deployed,
)
from espnet_prune.report.tables import markdown, share
from espnet_prune.utils import UserError


def deployed(folder: Path) -> Optional[Dict[str, Any]]:
    """Return what `measure_deployed` does of a directory, if it is there.

    What cannot be measured is a warning.
    """
    if not (folder / PROOF).is_file():
        return None
    try:
        return measure_deployed(deployed_model(folder))
    except (UserError, OSError, ImportError) as error:
        logging.warning(f"What was deployed is not measured: {error}")
        return None


def deployed_table(found: Mapping[str, Any]) -> str:
    """Return a table of runtimes and what it shows, from `measure_deployed`.

    Returns:
        Markdown.
    """
    head = ["runtime", "threads", "MB", "front end, encoder, CTC: ms", "CTC greedy: ms"]
    lines = [[*head, f"{found['decoding']}: ms", "real-time factor", "peak MB"]]
    first: Dict[int, Mapping[str, Any]] = {}
    for row in found["rows"]:
        full = first.setdefault(row["threads"], row)
        line = [row["runtime"], str(row["threads"])]
        line.append(_shown(row["bytes"] / 1e6, full["bytes"] / 1e6, ".3g"))
        line += [_shown(row[what], full[what], ".1f") for what in (ENCODER, CTC, WHOLE)]
        line.append(f"{row['rtf']:.4f}")
        lines.append([*line, _shown(row["peak_mb"], full["peak_mb"], ".0f")])
    options = ", ".join(f"{key} {value}" for key, value in found["options"].items())
    return (
        f"{markdown(lines)}\n\n{found['speech']}, {found['device']}, the fastest of "
        f"{found['runs']} runs in turns, CPU time on one thread; {found['decoding']}: "
        f"{options}. Memory is that of a process which recognises it once."
    )


def _shown(value: Any, full: Any, form: str) -> str:
    """Return a value, and in parentheses its share of the first row's."""
    return "-" if value is None else f"{value:{form}}{share(value, full)}"
