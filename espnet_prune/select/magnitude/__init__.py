# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Magnitude pruning, the honest baseline: the units of the smallest L2 norm go."""

from typing import Any, List, Optional

from espnet_prune.select.methods import register_method


def run(plan: Any) -> Any:
    """Select by the norms of a model's weights; Plan -> Selection."""
    from espnet_prune.select.scores import selected
    from espnet_prune.units import unit_norms

    return selected(plan, unit_norms(plan.root, plan.graph))


register_method(
    "magnitude",
    keys={"units": Optional[List[str]], "round_to": int},
    run=run,
    help="units by L2 norm at once, the baseline",
)
