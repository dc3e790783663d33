# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The path to smaller sizes: calibrated once, kept, and a model for any size on it."""

import logging
from pathlib import Path
from typing import Any, Dict, Tuple

from torch import nn

from espnet_prune.cutting.write import write_selection
from espnet_prune.quick.setting import Setting
from espnet_prune.select.correction import corrected
from espnet_prune.select.obs.path import RemovalPath
from espnet_prune.select.obs.run import make_path
from espnet_prune.select.obs.stored import FILE, load_path, save_path
from espnet_prune.select.plan import Plan
from espnet_prune.select.run import TOLD, describe
from espnet_prune.units import without_masks
from espnet_prune.utils import UserError, write_json

FOLDER = "path"


def path_of(setting: Setting, budget: Any) -> RemovalPath:
    """Return the path down to a budget: that of the output directory, or a new one.

    Raises:
        UserError: The budget is out of reach, or the audio cannot be calibrated on.
    """
    plan, folder = setting.plan(budget), setting.folder / FOLDER
    if (folder / FILE).is_file():
        return load_path(folder, plan)
    plan.method.check(plan)
    path, told = make_path(plan, setting.entries)
    write_json(told, folder / "rounds.json")
    save_path(path, folder)
    return path


def stored_path(setting: Setting, budget: Any) -> RemovalPath:
    """Return the path that an output directory holds.

    Raises:
        UserError: It holds none.
    """
    folder = setting.folder / FOLDER
    if not (folder / FILE).is_file():
        raise UserError(
            f"{folder}: holds no path to smaller sizes, or it was too large to be "
            "kept; call quick or sizes with --model and --audio for this size"
        )
    return load_path(folder, setting.plan(budget))


def write_size(
    path: RemovalPath, setting: Setting, budget: Any, folder: Path, trials: int = 8
) -> Tuple[nn.Module, Dict[str, Any]]:
    """Cut the dense model to a size on a path, prove it, and write it.

    Args:
        path: The path.
        setting: The model.
        budget: As a configuration says it.
        folder: Where the model goes.
        trials: Batches of the proof.

    Returns:
        The cut model, and {reached, ms, budget, verify}; ms where it is bounded.

    Raises:
        UserError: The path does not go so far, or masked and cut differ.
    """
    plan: Plan = setting.plan(budget)
    selection = corrected(plan, path.at(plan.budget))
    describe(selection, plan)
    logging.info(f"{folder}: {plan.budget.conf()}")
    model = without_masks(setting.model).cpu()
    small, report = write_selection(
        selection, model, setting.config, folder, trials, seed=setting.args.seed
    )
    record = selection.record
    found = {key: record[key] for key in (*TOLD, "budget") if key in record}
    return small, {**found, "verify": report["relative_diff"]}
