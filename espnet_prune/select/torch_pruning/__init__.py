# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Scores of the package Torch-Pruning, by its own code: a baseline from elsewhere.

Its importance classes score groups of rows and columns that can only go together; here
those are our units (Fang et al., DepGraph, CVPR 2023). The package is optional.
"""

from typing import Any, List, Optional

from espnet_prune.select.methods import register_method


def run(plan: Any) -> Any:
    """Select by the scores, ranked over all vectors together; Plan -> Selection.

    Raises:
        UserError: There is no labelled data, which importance taylor needs.
    """
    from espnet_prune.select.scores import by_values, selected
    from espnet_prune.select.torch_pruning.scores import group_scores

    return selected(plan, group_scores(plan), by=by_values)


def check(plan: Any) -> None:
    """Refuse what cannot be scored, and a budget out of reach.

    Raises:
        UserError: The package is missing, or has no such importance.
    """
    from espnet_prune.select.methods import check_budget
    from espnet_prune.select.torch_pruning.scores import importance

    importance(plan)
    check_budget(plan)


register_method(
    "torch_pruning",
    keys={
        "units": Optional[List[str]],
        "round_to": int,
        "importance": str,
        "max_utts": int,
    },
    run=run,
    check=check,
    help="units by the group magnitude or Taylor scores of Torch-Pruning, at once",
)
