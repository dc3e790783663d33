# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A training of espnet3, by the loop of Lightning, of what was cut.

espnet3 asks a task for its model and does the rest itself. So it is told here what its
trainer cannot do, weights are loaded with the model, and its averages are checked: it
writes them after every validation, whatever lies in the directory.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any, List, Optional

import torch

from espnet_prune.checkpoints import read_weights
from espnet_prune.models import load_pretrained
from espnet_prune.patches import replace
from espnet_prune.state_dicts import state_problems
from espnet_prune.tensor_names import as_here
from espnet_prune.train.averaging import mean_of
from espnet_prune.train.extensions import extensions
from espnet_prune.utils import UserError, atomic_torch_save

_BUILDER = "espnet3.utils.task_utils"
_CALLBACKS = "espnet3.components.callbacks.default_callbacks"
_NORMALIZE = "normalize"


def is_used() -> bool:
    """Say whether it is espnet3 that builds a model in this process."""
    return _BUILDER in sys.modules


def check(args: argparse.Namespace) -> None:
    """Refuse what needs the trainer of ESPnet 2.

    Args:
        args: Options of the task: the section `model` of espnet3, and defaults.

    Raises:
        UserError: A selection, or a part of a distillation.
    """
    for extension in extensions():
        needed = extension.needs_trainer(args) if extension.wanted(args) else ""
        if needed:
            raise UserError(
                f"model: {needed} need the trainer of ESPnet 2, which espnet3 has not; "
                "select and cut by `espnet-prune`, and train what was cut here"
            )


def prepare(args: argparse.Namespace, model: torch.nn.Module) -> torch.nn.Module:
    """Load the weights of `init_param`, and let averages be checked.

    Raises:
        UserError: A file is missing or does not fit.
    """
    for given in getattr(args, "init_param", None) or []:
        if not _has_statistics(model.state_dict()):
            path = given.split(":")[0]
            if _has_statistics(read_weights(path)):
                # espnet3 collects statistics with a model that has none
                given = f"{path}:::{_NORMALIZE}"
                model.without_statistics = path
        load_pretrained(given, model, getattr(args, "ignore_init_mismatch", False))
        logging.info(f"init_param {given}: loaded")
    model.register_load_state_dict_pre_hook(_check_state)
    callbacks = sys.modules.get(_CALLBACKS)
    if callbacks is not None:
        kind = callbacks.AverageCheckpointsCallback
        replace(kind, "setup", _check_directory)
        replace(kind, "on_validation_end", _average)
    return model


def _has_statistics(state: Any) -> bool:
    return any(key.startswith(f"{_NORMALIZE}.") for key in state)


def _check_state(
    model: torch.nn.Module, state: Any, prefix: str, local: Any, strict: bool, *_: Any
) -> None:
    """Refuse the checkpoint of another structure, such as that of `fit: ckpt_path`.

    Raises:
        UserError: See above, in place of torch's list of all tensors.
    """
    own = {prefix + key: value for key, value in model.state_dict().items()}
    problems = state_problems(own, as_here(state, own.keys())) if strict else []
    if problems:
        raise UserError(
            f"the checkpoint is of another structure, it {'; '.join(problems)}; give "
            "in fit: ckpt_path one of this training, or none"
        )


def _check_directory(
    self: Any, trainer: Any, pl_module: Any, stage: Optional[str] = None
) -> None:
    """Refuse to train where checkpoints of another structure are.

    Args:
        self: espnet3's callback that averages.
        trainer: Lightning's; not used.
        pl_module: espnet3's module around the model.
        stage: What is begun, such as "fit".

    Raises:
        UserError: See above; or the statistics of features are lost.
    """
    if stage != "fit":
        return
    lost = getattr(pl_module.model, "without_statistics", None)
    if lost is not None:
        raise UserError(
            f"init_param {lost}: holds statistics of features, and the model has no "
            "global_mvn for them; set normalize, and train in another call than "
            "collect_stats, which takes it away"
        )
    folder = Path(self.output_dir)
    for path in _checkpoints(folder):
        problems = _problems(path, pl_module)
        if problems:
            raise UserError(
                f"{path.parent} holds a training of another structure: {path.name} "
                f"{'; '.join(problems)}; choose another exp_dir or remove it (its "
                "config.yaml is of this training already: espnet3 writes that first)"
            )


def _checkpoints(folder: Path) -> List[Path]:
    """Return the checkpoints that espnet3 has written into a directory."""
    found = [*folder.glob("*.ckpt"), *folder.glob("*.ave_*best.pth")]
    return sorted(path for path in found if path.is_file())


def _problems(path: Path, pl_module: Any) -> List[str]:
    own = pl_module.state_dict()
    return state_problems(own, as_here(read_weights(path), own.keys()))


@torch.no_grad()
def _average(self: Any, trainer: Any, pl_module: Any) -> None:
    """Average the best checkpoints, in place of espnet3's function: a plain mean.

    Raises:
        UserError: One is of another structure than the model.
    """
    if not trainer.is_global_zero:
        return
    for best in self.best_ckpt_callbacks:
        paths = [Path(path) for path in best.best_k_models]
        if not paths:
            continue
        problems = _problems(paths[0], pl_module)
        if problems:
            raise UserError(
                f"{paths[0]} {'; '.join(problems)}, unlike what is trained; it cannot "
                "be averaged: choose another exp_dir"
            )
        name = f"{best.monitor.replace('/', '.')}.ave_{len(paths)}best.pth"
        atomic_torch_save(mean_of(paths), Path(self.output_dir) / name)
