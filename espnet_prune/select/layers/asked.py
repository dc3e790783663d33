# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a selection of blocks is asked for: which stack, how many, which search."""

import functools
from typing import Callable, List, NamedTuple, Optional

from torch import nn

from espnet_prune.distill.depth.conf import trained_order
from espnet_prune.measure.cost import PARTS, WHOLE, cost
from espnet_prune.select.budget import Budget
from espnet_prune.select.layers.coarse import Removed, check_number
from espnet_prune.select.layers.conf import LayersConf
from espnet_prune.select.plan import Plan
from espnet_prune.structure import Structure
from espnet_prune.units.narrow import can_drop, most_removable
from espnet_prune.utils import UserError

DECODER = "decoder"
_SEARCHED = (WHOLE, DECODER)


class Asked(NamedTuple):
    """What is asked for.

    Attributes:
        of: The stack that loses blocks: "encoder" or "decoder".
        number: How many blocks it has.
        most: How many of them can be cut out.
        num_remove: How many are to go.
        allowed: Whether the cut would take a removal set.
        conf: Which search.
        order: For search nested, the blocks in the order in which they go, 1-based.
    """

    of: str
    number: int
    most: int
    num_remove: int
    allowed: Callable[[Removed], bool]
    conf: LayersConf
    order: Optional[List[int]] = None


def asked(plan: Plan) -> Asked:
    """Read a plan; `of` of its budget names the stack, also beside num_remove.

    Raises:
        UserError: `layers_conf` says what it cannot, the model has no such stack of
            blocks, or see `number_to_remove` and `trained_order`.
    """
    given, count = plan.conf["budget"], plan.conf.get("num_remove")
    of = plan.budget.targets[0].part
    of = WHOLE if of in PARTS else of
    conf = _conf_for(of, plan)
    place = plan.graph.places.get(of)
    if of not in _SEARCHED or place is None or not place.blocks:
        raise UserError(
            f"budget: method layers removes blocks of: {' or '.join(_SEARCHED)}, and "
            f"of: {of} of this model has none; take another method"
        )
    stack: nn.Module = plan.root.get_submodule(place.path)
    most = most_removable(stack, place.blocks)
    counted = count is not None and list(given) == ["of"]
    budget = None if counted or not given else plan.budget
    dense = plan.graph.dense
    number = len(dense[of].kept_blocks)
    num_remove = number_to_remove(dense, count, budget, most, of)
    order = None
    if conf.search == "nested":
        order = trained_order(plan.config, number, num_remove)
    return Asked(
        of=of,
        number=number,
        most=most,
        num_remove=num_remove,
        allowed=functools.partial(can_drop, stack, blocks=place.blocks),
        conf=conf,
        order=order,
    )


def _conf_for(of: str, plan: Plan) -> LayersConf:
    """Return `layers_conf`; what compares hidden states knows those of encoders.

    Raises:
        UserError: See `LayersConf.from_dict`; or a decoder is not searched that way.
    """
    own = plan.own("layers_conf")
    if of != DECODER:
        return LayersConf.from_dict(own)
    conf = LayersConf.from_dict({"search": "iterative", **own})
    if conf.search in ("comflp", "nested"):
        raise UserError(
            f"layers_conf: search {conf.search} knows the blocks of encoders; for a "
            "decoder take search: iterative, sensitivity or exhaustive"
        )
    if conf.depth_table:
        raise UserError(
            "layers_conf: a depth_table is one of encoders; leave it out for a decoder"
        )
    return conf


def number_to_remove(
    dense: Structure,
    num_remove: Optional[int],
    budget: Optional[Budget],
    most: Optional[int] = None,
    of: str = WHOLE,
) -> int:
    """Return how many blocks go: as given, or the fewest that meet a budget.

    Args:
        dense: Structure of the model.
        num_remove: How many blocks are to go, or None.
        budget: What the model may cost, or None.
        most: How many can be cut out, see `most_removable`; all but one by default.
        of: The stack that they go from.

    Raises:
        UserError: Neither or both are given, the budget is not one sparsity of a
            whole encoder or decoder, or too many blocks would have to go.
    """
    blocks = dense[of].kept_blocks
    number = len(blocks)
    if (num_remove is None) == (budget is None):
        raise UserError("method layers takes either num_remove or a budget")
    if num_remove is not None:
        check_number(number, num_remove, most)
        return num_remove
    most = number - 1 if most is None else most
    wanted = budget.whole("method layers", _SEARCHED)
    full = wanted.price.of(cost(dense, wanted.frames, of))

    def share(position: int) -> float:
        others = [b for i, b in enumerate(blocks) if i != position]
        left = dense.with_widths({of: {"kept_blocks": others}})
        return 1.0 - wanted.price.of(cost(left, wanted.frames, of)) / full

    # the cheapest blocks first, so that any other choice removes at least as much
    shares = sorted(share(position) for position in range(number))
    for count in range(1, most + 1):
        if sum(shares[:count]) >= wanted.sparsity:
            return count
    raise UserError(
        f"budget: sparsity {wanted.sparsity} of {wanted.kind} is more than "
        f"{most} of {number} blocks ({sum(shares[:most]):.3f}), which is all that can "
        "be cut out; use method l0"
    )
