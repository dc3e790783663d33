# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Average the best epochs: the files of ESPnet's trainer, each a plain mean.

ESPnet 202511 adds to an epoch that it keeps in memory, so that every average that
shares one with an earlier average is wrong.
"""

import logging
from pathlib import Path
from typing import Any, Collection, Dict, Optional, Sequence, Union

import torch

from espnet_prune.checkpoints import read_weights
from espnet_prune.state_dicts import state_problems
from espnet_prune.tensor_names import as_here
from espnet_prune.utils import UserError, atomic_link, atomic_torch_save


@torch.no_grad()
def mean_of(paths: Sequence[Path]) -> Dict[str, torch.Tensor]:
    """Average checkpoints tensor by tensor; integers are added up, as in ESPnet.

    Args:
        paths: Checkpoints of one model, of any release of ESPnet.

    Returns:
        The mean under the names of the first.

    Raises:
        UserError: One is missing or corrupt, or of another structure than the first.
    """
    total: Dict[str, torch.Tensor] = {}
    for path in paths:
        state = read_weights(path)
        if not total:
            total = state
            continue
        state = as_here(state, total.keys())
        problems = state_problems(total, state)
        if problems:
            raise UserError(
                f"{path} {'; '.join(problems)}, unlike {paths[0]}; they cannot be "
                "averaged: remove the one that is of another model"
            )
        total = {key: value + state[key] for key, value in total.items()}
    floats = {key for key, value in total.items() if value.is_floating_point()}
    return {k: v / len(paths) if k in floats else v for k, v in total.items()}


def average_nbest_models(
    output_dir: Path,
    reporter: Any,
    best_model_criterion: Sequence[Sequence[str]],
    nbest: Union[Collection[int], int],
    suffix: Optional[str] = None,
    use_deepspeed: bool = False,
) -> None:
    """Write PHASE.KEY.ave_Nbest.pth and PHASE.KEY.ave.pth for every criterion.

    Args:
        output_dir: Experiment with a checkpoint per epoch.
        reporter: ESPnet's `Reporter`.
        best_model_criterion: (phase, key, "min" or "max") each.
        nbest: Numbers of epochs; the largest that is there becomes ave.pth.
        suffix: Stands before .pth.
        use_deepspeed: Not supported.

    Raises:
        UserError: See `mean_of`.
    """
    end = f"{suffix}.pth" if suffix else "pth"
    wanted = {nbest} if isinstance(nbest, int) else set(nbest)
    for phase, key, mode in best_model_criterion:
        if not reporter.has(phase, key):
            continue
        epochs = reporter.sort_epochs(phase, key, mode)
        numbers = sorted(n for n in wanted if 1 <= n <= len(epochs)) or [1]
        for number in numbers:
            path = output_dir / f"{phase}.{key}.ave_{number}best.{end}"
            best = [output_dir / f"{epoch}epoch.pth" for epoch in epochs[:number]]
            if number == 1:
                atomic_link(best[0].name, path)
                continue
            logging.info(f"Averaging {number} epochs by {phase}.{key}: {path}")
            atomic_torch_save(mean_of(best), path)
        last = f"{phase}.{key}.ave_{numbers[-1]}best.{end}"
        atomic_link(last, output_dir / f"{phase}.{key}.ave.{end}")
