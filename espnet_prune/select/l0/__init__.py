# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""L0: gates on units, trained with the weights towards a budget."""

from typing import Any, List, Optional

from espnet_prune.select.methods import register_method


def _run(plan: Any) -> Any:
    """Train the gates, and project them to the budget; Plan -> Selection."""
    from espnet_prune.select.l0.run import run

    return run(plan)


def _check(plan: Any) -> None:
    """Refuse what gates cannot do.

    Raises:
        UserError: See `Gates`.
    """
    from espnet_prune.select.l0.gates import attach_gates
    from espnet_prune.select.l0.run import gate_conf

    attach_gates(plan.root, **gate_conf(plan)).detach_hooks()


def _training(plan: Any) -> Any:
    """Return the YAML of the training, with gates and teacher."""
    from espnet_prune.select.l0.run import training_conf

    return training_conf(plan)


def _check_steps(plan: Any, steps: int) -> None:
    """Refuse a ramp that is longer than the training.

    Raises:
        UserError: See `check_ramp`.
    """
    from espnet_prune.select.l0.lagrangian import RAMP_STEPS, check_ramp

    check_ramp(plan.own("l0_conf").get("ramp_steps", RAMP_STEPS), steps)


register_method(
    "l0",
    keys={
        "units": Optional[List[str]],
        "round_to": int,
        "l0_conf": Optional[dict],
        "distill_conf": Optional[dict],
        "train_conf": Optional[dict],
    },
    run=_run,
    check=_check,
    training=_training,
    check_steps=_check_steps,
    help="units by gates that are trained to the budget",
)
