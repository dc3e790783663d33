# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What may stand in `l0_conf`."""

import inspect
import math
from typing import Any, List, Mapping

from espnet_prune.select.budget import UNIT_KINDS
from espnet_prune.utils import UserError, check_keys


def number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    whole: bool = False,
) -> Any:
    """Return a value of `l0_conf` if it is a number in a range.

    Args:
        name: Its key.
        value: What was given.
        above: It must be larger.
        least: It must be at least this.
        below: It must be smaller.
        whole: Whether it must be an integer.

    Raises:
        UserError: It is not such a number.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(value, kinds) and not isinstance(value, bool):
        if above < value < below and value >= least:
            return value
    wanted = "a whole number" if whole else "a number"
    limits = [
        f"{text} {limit:g}"
        for text, limit in (("above", above), ("of at least", least), ("below", below))
        if math.isfinite(limit)
    ]
    hint = ""
    if isinstance(value, str) and not whole and _reads_as_float(value):
        hint = " (YAML takes 1e-3 for text; write 1.0e-3)"
    wanted = " ".join([wanted, " and ".join(limits)]).rstrip()
    raise UserError(f"l0_conf: {name} is {value!r}, must be {wanted}{hint}")


def _reads_as_float(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def drop_rates(drop: Any) -> Mapping[str, float]:
    """Return the initial drop rate of every kind of unit.

    Args:
        drop: One rate, or one per kind; a kind that is not named has 0.01.

    Raises:
        UserError: Not a rate between 0 and 1, or an unknown kind.
    """
    if isinstance(drop, Mapping):
        check_keys(drop, UNIT_KINDS, "l0_conf: drop")
        rates = {kind: drop.get(kind, 0.01) for kind in UNIT_KINDS}
    else:
        rates = {kind: drop for kind in UNIT_KINDS}
    for kind, rate in rates.items():
        name = f"drop of {kind}" if isinstance(drop, Mapping) else "drop"
        number(name, rate, above=0, below=1)
    return rates


def check_l0_conf(conf: Any) -> Mapping[str, Any]:
    """Return `l0_conf` if it is a mapping of known keys; see `Gates` for the values.

    Raises:
        UserError: It is not; the nearest known key is named.
    """
    if conf is None:
        return {}
    if not isinstance(conf, Mapping):
        raise UserError(
            f"l0_conf: {conf!r} is not a mapping such as {{ramp_steps: 500}}"
        )
    check_keys(conf, gate_keys(), "l0_conf")
    return conf


def gate_keys() -> List[str]:
    """Return the arguments of `attach_gates`, through all its layers."""
    from espnet_prune.select.l0.gates import Gates, attach_gates
    from espnet_prune.select.l0.lagrangian import Lagrangian

    names = [
        name
        for function in (attach_gates, Gates, Lagrangian)
        for name, p in inspect.signature(function).parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    given = ("root", "graph", "targets", "one_sided", "at_once")
    return [name for name in names if name not in given]
