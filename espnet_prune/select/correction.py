# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Milliseconds that hold: what is selected is measured, and selected again if it errs.

A table predicts what units take; what counts is what the cut encoder takes, beside the
dense one on the same machine. Where that misses the limit, the limit that the selection
aims at is corrected by what was measured over what was predicted.
"""

import copy
import dataclasses
import logging
import tempfile
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from espnet_prune.measure.cost import WHOLE, cost
from espnet_prune.measure.latency_ratio import shares_of_time
from espnet_prune.measure.latency_table import described
from espnet_prune.select.budget import Budget, check_reachable
from espnet_prune.select.plan import Plan
from espnet_prune.select.selection import Selection
from espnet_prune.units import without_masks
from espnet_prune.utils import UserError

TOLERANCE = 0.03  # share of the limit
AIM = 0.995  # what is measured should be this much of the limit
ROUNDS = 6
ROOM = 0.85  # of the limit, for tables that err by less than 15 %


class Try(NamedTuple):
    """A selection, and what is known of its milliseconds.

    Attributes:
        selection: What was selected.
        rows: {part, limit, dense, predicted, measured}, per target in milliseconds.
    """

    selection: Selection
    rows: List[Dict[str, Any]]

    @property
    def fills(self) -> List[float]:
        """What was measured, as shares of the limits."""
        return [row["measured"] / row["limit"] for row in self.rows]

    @property
    def holds(self) -> bool:
        """Whether every limit is met within the tolerance."""
        return all(abs(fill - 1.0) <= TOLERANCE for fill in self.fills)

    @property
    def distance(self) -> float:
        """How far it is from the limits; what is above counts more."""
        return max(
            abs(f - 1.0) * (10 if f > 1.0 + TOLERANCE else 1) for f in self.fills
        )


def corrected(plan: Plan, selection: Selection) -> Selection:
    """Return a selection whose milliseconds hold, as they are measured here.

    Without a budget in milliseconds, it is returned as it is; so it is where the table
    is of another device. `record` says limit, predicted and measured milliseconds.

    Args:
        plan: The plan.
        selection: What its method has selected.
    """
    if not plan.budget.timed:
        return selection
    table = plan.latency
    if not table.here():
        logging.warning(
            f"the table is of {table.device}, {table.runtime} {table.version}: what is "
            "selected cannot be measured here, its milliseconds are predicted"
        )
        return _noted(plan, Try(selection, _rows(plan, selection)))
    with tempfile.TemporaryDirectory() as folder:
        return _corrected(plan, selection, folder)


def _corrected(plan: Plan, selection: Selection, folder: str) -> Selection:
    """Measure and select again; ONNX files of the dense encoder stay in a folder."""
    tries: List[Try] = []
    while True:
        tries.append(_measured(plan, selection, folder))
        logging.info(f"Selection {len(tries)}: {described(tries[-1].rows)}")
        if tries[-1].holds or len(tries) == ROUNDS:
            break
        try:
            selection = _again(plan, tries[0].selection, _aimed(plan, tries[-1].rows))
        except UserError as error:
            logging.warning(f"the selection is not corrected further: {error}")
            break
        if any(selection.structure == one.selection.structure for one in tries):
            break  # another target binds, or no unit is that small
    best = min(tries, key=lambda one: one.distance)
    if max(best.fills) > 1.0 + TOLERANCE:
        logging.warning(f"no selection came nearer: {described(best.rows)}")
    found = _noted(plan, best)
    shares = iter(1.0 - row["measured"] / row["dense"] for row in best.rows)
    reached = zip(plan.budget, plan.budget.reached(plan.graph.dense, found.structure))
    values = [next(shares) if t.price.device else share for t, share in reached]
    found.record["budget"] = plan.budget.conf()
    found.record["reached"] = plan.budget.keyed(values)
    return found


def with_room(plan: Plan) -> Budget:
    """Return the budget of a plan, a little smaller where a correction may need it.

    It is for methods that prepare selections down to a budget and no further.
    """
    shares = [1 - ROOM * (1 - t.sparsity) for t in plan.budget if t.price.device]
    if not shares:
        return plan.budget
    rows, left = plan.budget, iter(shares)
    lower = rows.with_sparsity(
        [next(left) if t.price.device else t.sparsity for t in rows]
    )
    try:
        check_reachable(plan.graph, plan.kinds, lower, plan.round_to)
    except UserError:
        return plan.budget
    return lower


def _rows(plan: Plan, selection: Selection) -> List[Dict[str, Any]]:
    """Return what is known of a selection before it is measured."""
    found, kept = [], selection.structure
    for t in plan.budget.timed:
        full = cost(plan.graph.dense, t.frames, t.part).ms
        full = plan.latency.dense_ms if t.part == WHOLE else full
        row = {
            "part": t.part,
            "limit": (1.0 - t.sparsity) * full if t.limit is None else t.limit,
            "dense": full,
            "predicted": cost(kept, t.frames, t.part).ms,
            "measured": None,
        }
        found.append(row)
    return found


def _measured(plan: Plan, selection: Selection, folder: str) -> Try:
    first, model = plan.budget.timed[0], plan.model
    ctc = copy.deepcopy(getattr(model, "ctc", None))
    shares = shares_of_time(
        without_masks(model.encoder).cpu(),
        selection.structure,
        first.frames,
        first.threads,
        ctc=ctc and ctc.cpu(),
        runtime=first.runtime,
        folder=folder,
    )
    rows = _rows(plan, selection)
    for row in rows:
        row["measured"] = shares[row["part"]] * row["dense"]
    return Try(selection, rows)


def _aimed(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> Budget:
    """Return the budget whose predictions should make the measured ones hold."""
    left, shares = iter(rows), []
    for t in plan.budget:
        share = t.sparsity
        if t.price.device:
            row = next(left)
            aimed = AIM * row["limit"] * row["predicted"] / row["measured"]
            full = cost(plan.graph.dense, t.frames, t.part).ms
            share = max(1.0 - aimed / full, 1e-6)
        shares.append(share)
    return plan.budget.with_sparsity(shares)


def _again(plan: Plan, first: Selection, budget: Budget) -> Selection:
    if first.again is None:
        return plan.method.run(dataclasses.replace(plan, budget=budget))
    found = first.again(budget)
    found.record = {**first.record, **found.record}
    return found


def _noted(plan: Plan, one: Try) -> Selection:
    """Return a selection whose record says what is known of its milliseconds."""
    table = plan.latency
    where = (
        f" ({table.device}, {table.runtime} {table.version}, {table.threads} "
        f"thread(s), {table.seconds:g} s)"
    )
    rows = [{**row, "where": where} for row in one.rows]
    one.selection.record["ms"] = rows
    logging.info(described(rows))
    return one.selection
