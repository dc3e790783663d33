# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Structured pruning of ESPnet speech recognisers.

Importing this package is cheap: neither torch nor ESPnet is loaded before one of
the names below is used.
"""

import importlib
from typing import Any, List

__version__ = "0.1.0"

_API = {
    "Cost": "espnet_prune.measure.cost",
    "Gates": "espnet_prune.select.l0.gates",
    "Structure": "espnet_prune.structure",
    "UnitGraph": "espnet_prune.units.graph",
    "UserError": "espnet_prune.utils",
    "attach_gates": "espnet_prune.select.l0.gates",
    "cost": "espnet_prune.measure.cost",
    "cut": "espnet_prune.cutting.cutter",
    "register": "espnet_prune.registry",
    "unit_graph": "espnet_prune.families",
}

__all__ = sorted(_API) + ["__version__"]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module 'espnet_prune' has no attribute '{name}'")
    value = getattr(importlib.import_module(_API[name]), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return __all__
