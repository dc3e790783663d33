# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Structured optimal brain surgeon: prune in minutes, without training or labels.

Some hundred utterances tell, of every layer, what it reads. Then it is known which of
its inputs the others can stand in for, and with which weights they do it best.
"""

from typing import Any, Dict, List, Optional

from espnet_prune.select.methods import register_method


def run(plan: Any) -> Any:
    """Select on the path that calibration gives; Plan -> Selection."""
    from espnet_prune.select.obs.run import run as select

    return select(plan)


def check(plan: Any) -> None:
    """Refuse a budget out of reach, and a configuration that is none."""
    from espnet_prune.select.methods import check_budget
    from espnet_prune.select.obs.conf import ObsConf

    ObsConf.from_dict(plan.own("obs_conf"))
    check_budget(plan)


def options(parser: Any) -> None:
    """Add what it calibrates on."""
    parser.add_argument(
        "--calibration",
        help="speech for method obs: a data directory, a wav.scp, a folder of audio "
        "or a file; by default the model's training data",
    )


register_method(
    "obs",
    keys={
        "units": Optional[List[str]],
        "round_to": int,
        "obs_conf": Dict[str, Any],
    },
    run=run,
    check=check,
    options=options,
    help="units whose work others can do, and new weights for those, without training",
)
