# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Random pruning, the floor of all others: the units that go are drawn."""

from typing import Any, List, Optional

from espnet_prune.select.methods import register_method


def run(plan: Any) -> Any:
    """Select by numbers that the plan's seed draws; Plan -> Selection.

    Every kind of units loses the same share, as with magnitude.
    """
    import torch

    from espnet_prune.select.scores import selected

    generator = torch.Generator().manual_seed(plan.seed)
    values = {u.name: torch.rand(u.size, generator=generator) for u in plan.graph}
    return selected(plan, values)


register_method(
    "random",
    keys={"units": Optional[List[str]], "round_to": int},
    run=run,
    help="units by lot at once, the floor of all others",
)
