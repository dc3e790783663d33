# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kinds of cost that a budget can bound: what every file of this folder registers."""

import dataclasses
import functools
import importlib
import pkgutil
from typing import Any, Callable, Dict

_KINDS: Dict[str, "Kind"] = {}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of cost.

    Attributes:
        name: What a budget calls it.
        of: Its value of a `Cost`: a sum of the amounts there, times constants, so that
            costs of parts add up and expected ones have gradients.
        tolerance: Share of the limit that a selection may leave unused.
        by_length: Whether it depends on the length of the input.
        device: Whether it is measured, and so needs a table of latencies.
    """

    name: str
    of: Callable[[Any], float]
    tolerance: float
    by_length: bool = False
    device: bool = False


def register_kind(
    name: str, of: Callable[[Any], float], tolerance: float, **more: bool
) -> None:
    """Make a kind of cost known; see `Kind`."""
    _KINDS[name] = Kind(name, of, tolerance, **more)


@functools.lru_cache(maxsize=None)
def kinds() -> Dict[str, Kind]:
    """Return all kinds, by name."""
    for found in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{found.name}")
    return _KINDS
