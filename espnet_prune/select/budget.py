# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Budgets: what an encoder, a decoder or a whole model may cost, or a part of it.

A budget is a set of targets, each an upper bound on one cost:

    {kind: params, sparsity: 0.5}                    the whole encoder
    {kind: params, of: model, sparsity: 0.5}         of: see `OF`
    {kind: params, front: 0.4, blocks: 0.6}          a target per part of the encoder
    {kind: ms, limit: 40}                            milliseconds that may stay
    [{kind: params, sparsity: 0.5}, {kind: macs, sparsity: 0.5}]    all at once

The parts are those of `espnet_prune.measure.cost`; they share no unit, so that each is
brought to its target on its own. A part that no target covers is left whole. Those of a
model are counted with everything in it, CTC layer and embeddings too. L0
selection leads every target to equality as far as they go together; what is selected
in the end costs at most what each target allows, and comes within its tolerance for at
least the one that binds.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

from espnet_prune.measure.cost import MODEL, PARTS, WHOLE, CostModel, cost
from espnet_prune.select.budget_conf import OF, Target, read_targets, with_frames
from espnet_prune.structure import Structure
from espnet_prune.units import Unit, UnitGraph
from espnet_prune.utils import UserError, check_keys

UNIT_KINDS = (
    "head",
    "ffn_unit",
    "conv_channel",
    "cgmlp_channel",
    "subsampling_channel",
    "wave_channel",
    "joint_unit",
    "module",
)

__all__ = ["OF", "UNIT_KINDS", "Budget", "Pricing", "Target", "with_frames"]


@dataclasses.dataclass(frozen=True)
class Budget:
    """Targets that hold at once.

    Attributes:
        targets: At least one.
    """

    targets: Tuple[Target, ...]

    @classmethod
    def of(cls, kind: str, sparsity: float, frames: int = 1000) -> "Budget":
        """Return the budget of one target for the whole encoder."""
        return cls((Target(kind, sparsity, frames),))

    @classmethod
    def from_conf(
        cls, conf: Union[Mapping[str, Any], Sequence[Mapping[str, Any]]]
    ) -> "Budget":
        """Read `budget:` of a configuration, in any of its forms.

        Raises:
            UserError: Not a mapping or a list of them, an unknown key or kind, a
                sparsity outside (0, 1), a limit that is none, a length that is too
                short, the sparsity of the whole beside that of a part, the same target
                twice, or milliseconds of two devices.
        """
        entries = conf if isinstance(conf, (list, tuple)) else [conf]
        if not entries:
            raise UserError("budget: the list is empty; give at least one target")
        targets = tuple(t for entry in entries for t in read_targets(entry))
        asked = [dataclasses.replace(t, sparsity=0.0, limit=None) for t in targets]
        asked = [
            t if t.price.by_length else dataclasses.replace(t, frames=0) for t in asked
        ]
        for target, key in zip(targets, asked):
            if asked.count(key) > 1:
                raise UserError(
                    f"budget: {target.kind} of the {target.part} is asked for twice; "
                    "leave one out"
                )
        timed = cls(targets).timed
        if len({(t.frames, t.runtime, t.threads, t.latency) for t in timed}) > 1:
            raise UserError(
                "budget: all milliseconds are those of one table; give the same "
                "seconds, runtime, threads and latency everywhere"
            )
        return cls(targets)

    @property
    def timed(self) -> List[Target]:
        """The targets in milliseconds."""
        return [target for target in self if target.price.device]

    @property
    def names(self) -> List[str]:
        """Short names of the targets, each once: "params", "front_macs", ..."""
        parts = [t.kind if t.part == WHOLE else f"{t.part}_{t.kind}" for t in self]
        return [
            f"{name}_{target.frames}" if parts.count(name) > 1 else name
            for name, target in zip(parts, self)
        ]

    def __iter__(self) -> Any:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def conf(self) -> Any:
        """Return what `from_conf` reads: a mapping, or a list of several."""
        confs = [target.conf() for target in self]
        return confs if len(confs) > 1 else confs[0]

    def keyed(self, values: Sequence[Any]) -> Any:
        """Return the value of the only target, or the values by name if several."""
        return dict(zip(self.names, values)) if len(self) > 1 else values[0]

    def scaled(self, share: float) -> "Budget":
        """Return the budget with a share of every sparsity, as on a ramp to it."""
        return self.with_sparsity([share * t.sparsity for t in self])

    def with_sparsity(self, shares: Sequence[float]) -> "Budget":
        """Return the budget with other sparsities, one per target."""
        rows = zip(self, shares)
        return Budget(
            tuple(dataclasses.replace(t, sparsity=s, limit=None) for t, s in rows)
        )

    def resolved(self, dense: Structure) -> "Budget":
        """Return the budget with the sparsity that every limit means.

        Args:
            dense: The dense model; with milliseconds, where they are bounded.

        Raises:
            UserError: A limit above what there is, or no milliseconds are there.
        """
        found = []
        for t in self:
            full = t.price.of(cost(dense, t.frames, t.part))
            if t.price.device and not full:
                raise UserError(
                    f"budget: {t} needs a table of what the encoder takes; give the "
                    "latency: FILE that espnet-prune latency has made"
                )
            if t.limit is not None and t.limit >= full:
                raise UserError(
                    f"budget: {t} is no less than the {full:,.6g} that there are "
                    "without pruning; lower it"
                )
            if t.limit is not None:
                t = dataclasses.replace(t, sparsity=1.0 - t.limit / full)
            found.append(t)
        return Budget(tuple(found))

    def whole(self, user: str, of: Sequence[str] = (WHOLE,)) -> Target:
        """Return the one target, of a whole stack.

        Args:
            user: What can honour no other, for the message.
            of: What it may be of.

        Raises:
            UserError: There are several, or one of something else.
        """
        if len(self) > 1 or self.targets[0].part not in of:
            raise UserError(
                f"budget: {user} goes with one sparsity of the whole {' or '.join(of)}"
                ", not with parts or a list; write {kind: ..., sparsity: ...}"
            )
        return self.targets[0]

    def reached(self, dense: Structure, kept: Structure) -> List[float]:
        """Return the share that is removed, per target."""
        shares = []
        for t in self:
            full, left = (cost(s, t.frames, t.part) for s in (dense, kept))
            shares.append(1.0 - t.price.of(left) / t.price.of(full))
        return shares


def unit_kinds(units: Any) -> Tuple[str, ...]:
    """Return the kinds of units that may go.

    Args:
        units: `units` of a configuration; None means all kinds.

    Raises:
        UserError: Not a list, or an empty one.
    """
    if units is None:
        return UNIT_KINDS
    if not isinstance(units, (list, tuple)) or not units:
        raise UserError(f"units: {units!r} is not a list such as [head, module]")
    return tuple(units)


class Pricing:
    """The costs that a budget bounds, at any number of kept units.

    Args:
        graph: The units.
        budget: The budget.

    Attributes:
        full: Cost of the dense encoder per target.
        limits: What is allowed per target.
        parts: Part that every variable belongs to.
    """

    def __init__(self, graph: UnitGraph, budget: Budget) -> None:
        models = {t.frames: CostModel(graph.dense, t.frames) for t in budget}
        self.graph, self.budget = graph, budget
        self._pairs = [(u.name, u.module) for u in graph if u.module is not None]
        self.models = [models[target.frames] for target in budget]
        self.full = self.costs({})
        self.limits = [(1.0 - t.sparsity) * n for t, n in zip(budget, self.full)]
        self.parts = self.models[0].parts

    def costs(self, counts: Mapping[str, int]) -> List[float]:
        """Return the cost of integer counts per target; missing counts are full."""
        counts = self.consistent(counts)
        return [
            target.price.of(model.exact(counts, target.part))
            for model, target in zip(self.models, self.budget)
        ]

    def consistent(self, counts: Mapping[str, int]) -> Dict[str, int]:
        """Return counts where modules and their units are there or removed together."""
        found = dict(counts)
        for name, module in self._pairs:
            if found.get(name) == 0 or found.get(module) == 0:
                found[name] = found[module] = 0
        return found

    def floor(self, kinds: Sequence[str], round_to: int = 1) -> List[float]:
        """Return the cost per target without any unit of some kinds that may go."""
        units = self.graph.of_kinds(tuple(kinds))
        return self.costs({unit.name: least(unit, round_to) for unit in units})

    def units(self, kinds: Sequence[str]) -> List[Unit]:
        """Return the units of some kinds, in parts that a target covers."""
        found = self.graph.of_kinds(tuple(kinds))
        covered = {p for p in self.leaves if any(t.covers(p) for t in self.budget)}
        return [unit for unit in found if self.parts[unit.name] in covered]

    @property
    def leaves(self) -> List[str]:
        """The parts that units belong to; they share none."""
        return list(dict.fromkeys(self.parts.values()))


def loosely_met(
    budget: Budget, dense: Structure, kept: Structure, round_to: int = 1
) -> List[str]:
    """Say, in a sentence each, where more is removed than the tolerance accounts for.

    Of the targets of a part it is the nearest that counts.

    Args:
        budget: The budget.
        dense: Structure of the encoder.
        kept: What was selected.
        round_to: Multiples of how many units were kept.
    """
    reached = budget.reached(dense, kept)
    fills = [(1.0 - r) / (1.0 - t.sparsity) for r, t in zip(reached, budget)]
    sentences = []
    for part in dict.fromkeys(CostModel(dense).parts.values()):
        rows = [row for row in zip(fills, reached, budget) if row[2].covers(part)]
        if not rows:
            continue
        fill, share, target = max(rows, key=lambda row: row[0])
        if fill >= 1.0 - target.price.tolerance:
            continue
        what = f"multiple of {round_to} units" if round_to > 1 else "unit"
        remedy = ": lower round_to to come nearer" if round_to > 1 else ""
        sentences.append(
            f"{target}: {share:.4f} is removed, because no {what} more fits into the "
            f"budget{remedy}"
        )
    return list(dict.fromkeys(sentences))


def least(unit: Unit, round_to: int = 1) -> int:
    """Return how many units of a vector stay at least."""
    return unit.minimum * (round_to if unit.size > round_to else 1)


def check_reachable(
    graph: UnitGraph, kinds: Tuple[str, ...], budget: Budget, round_to: int = 1
) -> None:
    """Refuse a budget below what can be removed.

    Costs fall with every unit, so targets that can be met one by one can be met all
    at once.

    Raises:
        UserError: A part that the encoder does not have, `round_to` is no number of
            units, or without any unit of `kinds` the encoder or the part is still too
            large; the sentence names the floor and what holds it up.
    """
    check_keys(kinds, UNIT_KINDS, "units")
    if isinstance(round_to, bool) or not isinstance(round_to, int) or round_to < 1:
        raise UserError(f"round_to {round_to!r} must be a positive number of units")
    pricing = Pricing(graph, budget)
    for target in budget:
        if not any(target.covers(part) for part in pricing.leaves):
            what = "encoder" if target.part in (WHOLE, *PARTS) else "model"
            raise UserError(
                f"budget: {target.part} {target.sparsity} cannot be reached; this "
                f"{what} has no units in that part, so leave {target.part} out"
            )
    rows = zip(budget, pricing.floor(kinds, round_to), pricing.limits, pricing.full)
    for target, left, limit, full in rows:
        if left > limit:
            raise UserError(
                f"budget: {target} cannot be reached; at most {1 - left / full:.3f} "
                f"can be removed ({left:,.10g} of {full:,.10g} stay), because "
                f"{held_up(pricing, target, kinds, round_to)}"
            )


def held_up(
    pricing: Pricing, target: Target, kinds: Tuple[str, ...], round_to: int
) -> str:
    """Say what keeps a part above its target."""
    units = [unit for unit in pricing.graph if target.covers(pricing.parts[unit.name])]
    fixed = sorted({unit.kind for unit in units if unit.kind not in kinds})
    if fixed:
        return f"units of kind {', '.join(fixed)} are not pruned"
    reasons = []
    if any(unit.minimum and unit.block is None for unit in units):
        kept = max(least(unit, round_to) for unit in units)
        reasons.append(f"every convolution of the front end keeps {kept} channel(s)")
    if target.part == MODEL:
        reasons.append("embeddings, output layers and norms stay")
    elif target.part != "front":
        reasons.append("norms and other layers without units stay")
    return " and ".join(reasons)
