# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Groups of Torch-Pruning made of units, and how important its classes find them.

Its own graph of an encoder has the same groups of heads and of feed-forward units. It
takes a GLU for a function of single channels, and so misses half the rows of the layer
before; behind a front end it misses most columns of the Linear.
"""

from typing import Any, Dict

import torch
from torch import nn

from espnet_prune.packages import missing_package
from espnet_prune.select.gradients import backward_passes
from espnet_prune.units import Unit
from espnet_prune.utils import UserError, check_keys

IMPORTANCES = {
    "magnitude": "GroupMagnitudeImportance",
    "taylor": "GroupTaylorImportance",
}


def importance(plan: Any) -> Any:
    """Return the importance that a plan names, as it is by default.

    That is the mean over the tensors of a group, over its mean in the vector, so that
    those of different vectors can be ranked together.

    Raises:
        UserError: The package is missing, or `importance` is neither of the two.
    """
    name = plan.conf.get("importance", "magnitude")
    check_keys([name], IMPORTANCES, "method torch_pruning: importance")
    try:
        from torch_pruning.pruner import importance as known
    except ImportError as error:
        raise UserError(missing_package(error) or str(error)) from error
    return getattr(known, IMPORTANCES[name])()


def group_of(unit: Unit, root: nn.Module) -> Any:
    """Return a Group of Torch-Pruning: layers of a vector, and which rows or columns.

    Args:
        unit: The vector.
        root: The module that it is in.
    """
    from torch_pruning import ops
    from torch_pruning.dependency import Dependency, Group, Node
    from torch_pruning.pruner.function import PrunerBox

    parts = [
        p for p in (*unit.producers, *unit.consumers) if p.tensor.endswith("weight")
    ]
    fine = min(part.group for part in parts)
    indices: Dict[Any, Dict[int, int]] = {}  # per layer and side: index -> position
    for part in parts:
        own = indices.setdefault((part.tensor.rpartition(".")[0], part.dim), {})
        for i, entry in enumerate(part.entries(torch.arange(unit.size)).tolist()):
            own[entry] = i * fine // part.group
    group = Group()
    # scores are as many as the first layer has rows
    for (path, dim), own in sorted(indices.items(), key=lambda item: len(item[1])):
        layer = root.get_submodule(path)
        pruner = PrunerBox[ops.module2type(layer)]
        prune = pruner.prune_in_channels if dim else pruner.prune_out_channels
        node = Node(layer, None, path)
        group.add_dep(Dependency(prune, prune, node, node), sorted(own))
        group[-1].root_idxs = [own[index] for index in sorted(own)]
    return group


def group_scores(plan: Any) -> Dict[str, torch.Tensor]:
    """Return the score (size,) of every unit but whole modules, by name.

    Gradients of importance taylor are summed over `max_utts` utterances.

    Args:
        plan: The plan of the selection.

    Raises:
        UserError: See `importance` and `backward_passes`.
    """
    scorer = importance(plan)
    if plan.conf.get("importance") == "taylor":
        for _ in backward_passes(plan, plan.conf.get("max_utts", 64)):
            pass
    units = [unit for unit in plan.graph if unit.kind != "module"]
    scores = {}
    for unit in units:  # that of a head is the mean over its rows, as in its pruner
        rows = scorer(group_of(unit, plan.root))
        scores[unit.name] = rows.view(unit.size, -1).mean(1)
    plan.model.zero_grad()
    return scores
