# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Checkpoints that survive a kill at any moment."""

import contextlib
import functools
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping

import torch

from espnet_prune.checkpoints import unprefixed
from espnet_prune.patches import replaced
from espnet_prune.state_dicts import state_problems
from espnet_prune.tensor_names import as_here, as_written
from espnet_prune.utils import UserError, atomic_link, atomic_torch_save, load_tensors

CHECKPOINT = "checkpoint.pth"
_EPOCH = re.compile(r"\d+epoch\.pth")


def load_checkpoint(path: Path, mmap: bool = False) -> Dict[str, Any]:
    """Load a trainer checkpoint on the CPU, without running code from it.

    Args:
        path: checkpoint.pth of an experiment.
        mmap: Read tensors only when they are used.

    Raises:
        UserError: The file is truncated or not a checkpoint.
    """
    try:
        states = load_tensors(path, mmap)
        states["model"], states["reporter"], states["optimizers"]
    except (UserError, KeyError) as error:
        reason = type(error.__cause__ or error).__name__
        raise UserError(
            f"{path}: corrupt checkpoint ({reason}); remove it to train "
            "from the start, or put back a copy"
        ) from error
    states["model"] = unprefixed(states["model"])
    return states


def check_same_structure(path: Path, model: torch.nn.Module) -> None:
    """Refuse to train over a checkpoint of another model.

    Raises:
        UserError: The checkpoint at `path` has other keys or shapes than `model`, or
            is corrupt.
    """
    if not path.exists():
        return
    own = model.state_dict()
    saved = as_here(load_checkpoint(path, mmap=True)["model"], own.keys())
    problems = state_problems(own, saved)
    if problems:
        raise UserError(
            f"{path.parent} holds a training of another structure: {path.name} "
            f"{'; '.join(problems)}; choose another --output_dir or remove it"
        )


def remove_leftovers(output_dir: Path) -> None:
    """Remove temporary files that a killed run left behind."""
    for path in output_dir.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _reporter(states: Mapping[str, Any]) -> Any:
    from espnet2.train.reporter import Reporter

    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    return reporter


def last_epoch(states: Mapping[str, Any]) -> int:
    """Return the epoch after which a checkpoint was written, 0 if there is none."""
    return _reporter(states).get_epoch() if states else 0


def keep_stopped(states: Mapping[str, Any], options: Any) -> None:
    """End a resumed run that had already met its criterion for early stopping.

    The stock trainer looks at the criterion only after an epoch, and would train one
    more.

    Args:
        states: The loaded checkpoint.
        options: The trainer's options; `max_epoch` may be lowered.
    """
    reporter = _reporter(states)
    if options.patience is not None and reporter.check_early_stopping(
        options.patience, *options.early_stopping_criterion
    ):
        options.max_epoch = reporter.get_epoch()


def repair(output_dir: Path, states: Mapping[str, Any], options: Any) -> None:
    """Bring an experiment directory to the state just after its checkpoint.

    The stock trainer writes the checkpoint first, then the epoch's model, then moves
    links and deletes models that are no longer among the best. A kill in between
    leaves some of this undone; do it here.

    Args:
        output_dir: ESPnet's experiment directory.
        states: The loaded checkpoint.
        options: The trainer's options.
    """
    reporter, epoch = _reporter(states), last_epoch(states)
    name = f"{epoch}epoch.pth"
    atomic_torch_save(states["model"], output_dir / name)
    atomic_link(name, output_dir / "latest.pth")
    keep = {epoch}
    keep_nbest = options.keep_nbest_models
    count = keep_nbest if isinstance(keep_nbest, int) else max(keep_nbest or [1])
    for phase, key, mode in options.best_model_criterion:
        if not reporter.has(phase, key):
            continue
        order = reporter.sort_epochs(phase, key, mode)
        keep.update(order[:count])
        if (output_dir / f"{order[0]}epoch.pth").exists():
            atomic_link(f"{order[0]}epoch.pth", output_dir / f"{phase}.{key}.best.pth")
    for other in range(1, epoch):
        path = output_dir / f"{other}epoch.pth"
        if other not in keep and path.exists():
            path.unlink()


@contextlib.contextmanager
def atomic_saves(
    model: torch.nn.Module, extra_state: Callable[[], Dict[str, Any]]
) -> Iterator[None]:
    """Make every `torch.save` to a path atomic while the trainer runs.

    Weights are written under the names that every release of ESPnet loads.

    Args:
        model: What is trained.
        extra_state: Called when the trainer writes its checkpoint; the result is
            stored there under "hooks".
    """
    original = torch.save

    @functools.wraps(original)
    def save(obj, f, *args, **kwargs):
        if not isinstance(f, (str, os.PathLike)):
            return original(obj, f, *args, **kwargs)
        if Path(f).name == CHECKPOINT and isinstance(obj, dict):
            named = as_written(model, obj["model"])
            obj = dict(obj, model=named, hooks=extra_state())
        elif _EPOCH.fullmatch(Path(f).name):
            obj = as_written(model, obj)
        return atomic_torch_save(obj, f, **kwargs)

    with replaced(torch, "save", save):
        yield
