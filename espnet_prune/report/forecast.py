# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A forecast as tables."""

from pathlib import Path
from typing import Any, Dict, List

from espnet_prune.report.tables import markdown

HEAD = ("configuration", "encoder", "all", "GMACs, 10 s", "front end", "batch")
HEAD += ("GB", "epochs", "steps", "GPU hours")
PRUNE_HEAD = ("dense", "selection", "asked for", "at most", "GB", "epochs", "steps")
PRUNE_HEAD += ("GPU hours",)
RECOVER_HEAD = ("dense", "recovery", "GB", "epochs", "steps", "GPU hours")


def _training_cells(row: Dict[str, Any]) -> List[str]:
    if "epochs" not in row:  # blocks or magnitude: nothing is trained
        return ["-"] * 4
    hours, steps = row["gpu_hours"], row["steps"]
    return [
        f"{row['gb']:.1f}",
        str(row["epochs"]),
        "?" if steps is None else f"{steps:,}",
        "?" if hours is None else f"{hours:.1f}",
    ]


def _shares(values: Dict[str, Any]) -> str:
    return ", ".join(
        # never rounded up: what is shown can be asked for
        (
            f"{value} blocks"
            if name == "blocks"
            else f"{int(1000 * value) / 1000} of {name}"
        )
        for name, value in values.items()
    )


def forecast_page(report: Dict[str, Any]) -> str:
    """Return a forecast for people.

    Args:
        report: See `measure.forecast.forecast`.
    """
    models, prunes, recovers = [], [], []
    reasons: List[str] = []
    for model in report["models"]:
        name = Path(model["config"]).name
        models.append(
            [
                name,
                f"{model['encoder_params'] / 1e6:.1f} M",
                f"{model['total_params'] / 1e6:.1f} M",
                f"{model['gmacs']:.2f}",
                f"{model['front_end']:.0%}",
                f"{model['batch_seconds']:.0f} s",
                *_training_cells(model),
            ]
        )
        for row in model["selections"]:
            file, most = Path(row["config"]).name, _shares(row["at_most"])
            if row["held_up_by"] not in reasons:
                reasons.append(row["held_up_by"])
            most += f" ({reasons.index(row['held_up_by']) + 1})"
            cells = [name, file, _shares(row["asked"]), most, *_training_cells(row)]
            prunes.append(cells)
        for row in model["recoveries"]:
            recovers.append([name, Path(row["config"]).name, *_training_cells(row)])
    lines = [markdown([HEAD, *models])]
    if prunes:
        lines += ["", markdown([PRUNE_HEAD, *prunes]), ""]
        for number, reason in enumerate(reasons, start=1):
            lines.append(f"({number}) {reason}")
    if recovers:
        lines += ["", markdown([RECOVER_HEAD, *recovers])]
    given = report["assumed"]
    speech = "unknown, see --hours"
    if given["hours"] is not None:
        speech = f"{given['hours']:g} hours an epoch"
    lines += [
        "",
        f"Estimates for {given['ngpu']} GPU(s) of {given['tflops']:g} TFLOP/s each, "
        f"{given['vocab']} tokens, steps",
        f"measured on {given['seconds']:g} s of noise; speech: {speech}. See --help.",
    ]
    return "\n".join(lines)
