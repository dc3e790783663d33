# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Taylor scores: the units go that the loss would miss least.

To first order a loss changes by w g when a weight w with gradient g is removed. The
score of a unit is the sum of |w g| over its weights and over labelled utterances
(Molchanov et al., CVPR 2019). Nothing is trained.
"""

from typing import Any, List, Optional

from espnet_prune.select.methods import register_method


def run(plan: Any) -> Any:
    """Select by the scores of a model's units; Plan -> Selection.

    Raises:
        UserError: There is no labelled data.
    """
    from espnet_prune.select.scores import selected
    from espnet_prune.select.taylor.scores import taylor_scores

    return selected(plan, taylor_scores(plan, plan.conf.get("max_utts", 64)))


register_method(
    "taylor",
    keys={"units": Optional[List[str]], "round_to": int, "max_utts": int},
    run=run,
    help="units by |weight x gradient| on labelled data, at once",
)
