# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The methods that there are: what every folder of `espnet_prune.select` registers."""

import argparse
import dataclasses
import functools
import importlib
import pkgutil
from typing import Any, Callable, Dict, List, Mapping, Optional

from espnet_prune.utils import check_keys

_METHODS: Dict[str, "Method"] = {}


def check_budget(plan: Any) -> None:
    """Refuse a budget that cannot be reached.

    Raises:
        UserError: See `check_reachable`.
    """
    from espnet_prune.select.budget import check_reachable

    check_reachable(plan.graph, plan.kinds, plan.budget, plan.round_to)


def budget_outlook(plan: Any) -> Dict[str, Any]:
    """Return {asked, at_most: shares that go per target, held_up_by: a sentence}."""
    from espnet_prune.select.budget import held_up

    budget, pricing = plan.budget, plan.pricing
    floor = pricing.floor(plan.kinds, plan.round_to)
    rows = list(zip(budget.names, budget, floor, pricing.full))
    reasons = [held_up(pricing, t, plan.kinds, plan.round_to) for t in budget]
    return {
        "asked": {name: target.sparsity for name, target, _, _ in rows},
        "at_most": {name: 1 - left / full for name, _, left, full in rows},
        "held_up_by": "; ".join(dict.fromkeys(reasons)),
    }


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to decide what stays.

    Attributes:
        name: What a configuration calls it.
        keys: Its keys of the YAML, and their types.
        run: Makes a `Selection` of a `Plan`.
        help: What it does, in a few words.
        check: Refuses, before any long work, a plan that cannot be carried out.
        read: Completes the YAML, in place, by options of the command line.
        options: Adds options of its own to the command line.
        outlook: Says how far the budget could go, without doing anything.
        training: Returns the YAML of its training, if it trains; other options of the
            command line are those of the training then.
        check_steps: Refuses a number of optimiser steps that is too small for it.
        alone: What it can do without a model, called with the command line and the
            YAML, where an option of its own sets `alone` to its name.
        similarity: Whether it reads the similarity of layers.
    """

    name: str
    keys: Mapping[str, Any]
    run: Callable[[Any], Any]
    help: str = ""
    check: Callable[[Any], None] = check_budget
    read: Callable[[Dict[str, Any], argparse.Namespace], None] = lambda conf, args: None
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    outlook: Callable[[Any], Dict[str, Any]] = budget_outlook
    training: Optional[Callable[[Any], Dict[str, Any]]] = None
    check_steps: Callable[[Any, int], None] = lambda plan, steps: None
    alone: Optional[Callable[[argparse.Namespace, Mapping[str, Any]], None]] = None
    similarity: bool = False


def register_method(
    name: str, keys: Mapping[str, Any], run: Callable[[Any], Any], **more: Any
) -> None:
    """Make a method known; see `Method` for what can be said of it.

    Raises:
        ValueError: Another method has this name.
    """
    method = Method(name, keys, run, **more)
    known = _METHODS.setdefault(name, method)
    if known.run.__module__ != run.__module__:
        raise ValueError(f"{known.run.__module__} has registered a method {name}")


@functools.lru_cache(maxsize=None)
def _look() -> None:
    """Import every folder beside this file, so that it registers its method."""
    import espnet_prune.select as room

    for found in pkgutil.iter_modules(room.__path__):
        if found.ispkg:
            importlib.import_module(f"{room.__name__}.{found.name}")


def methods() -> List[Method]:
    """Return all methods, by name."""
    _look()
    return [_METHODS[name] for name in sorted(_METHODS)]


def get_method(name: Any, where: str = "method") -> Method:
    """Return a method.

    Args:
        name: What a configuration calls it.
        where: The file that it is from, for errors.

    Raises:
        UserError: Nobody has registered it; the nearest name is told.
    """
    _look()
    check_keys([name], sorted(_METHODS), where)
    return _METHODS[name]
