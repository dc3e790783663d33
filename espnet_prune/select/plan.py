# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a selection is asked for: its configuration, read once, about one model."""

import argparse
import dataclasses
import functools
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from torch import nn

from espnet_prune.families import unit_graph
from espnet_prune.measure.cost import PARTS, WHOLE
from espnet_prune.measure.duration import frames_of
from espnet_prune.measure.latency_table import LatencyTable
from espnet_prune.measure.tokens import priced
from espnet_prune.select.budget import Budget, Pricing, unit_kinds, with_frames
from espnet_prune.select.latency import located, timed
from espnet_prune.select.methods import Method, get_method
from espnet_prune.structure import Structure
from espnet_prune.units import UnitGraph


def root_of(model: nn.Module, budget: Budget) -> nn.Module:
    """Return the module whose units a budget bounds; nobody else decides this.

    That is the encoder, unless the budget says anything of more: then the units are
    those of the whole model, of which those that no target covers stay.
    """
    encoder = all(target.part in (WHOLE, *PARTS) for target in budget)
    return model.encoder if encoder else model


def root_in(model: nn.Module, structure: Structure) -> nn.Module:
    """Return the module that a stored Structure is of."""
    return model.encoder if set(structure.own) == {WHOLE} else model


@dataclasses.dataclass
class Plan:
    """A selection before it is made.

    Attributes:
        method: Who makes it.
        conf: The YAML, with what the command line overrides.
        model: The dense `ESPnetASRModel`, in eval mode.
        config: Its config.yaml.
        options: Those of the command line, such as output_dir, model_file and ngpu.
        extra: Other words of the command line, such as data of a training.
        budget: What may stay.
        kinds: Kinds of units that may go.
        round_to: Keep a multiple of this many units in every vector.
        seed: Seed of whatever is drawn.
        frames: Input frames of 10 s.
        root: The module that is pruned.
        graph: Its units.
        latency: Milliseconds of the encoder, where they are bounded.
    """

    method: Method
    conf: Mapping[str, Any]
    model: nn.Module
    config: Mapping[str, Any]
    options: argparse.Namespace
    extra: Sequence[str]
    budget: Budget
    kinds: Tuple[str, ...]
    round_to: int
    seed: int
    frames: int
    root: nn.Module
    graph: UnitGraph
    latency: Optional[LatencyTable] = None

    @classmethod
    def of(
        cls,
        conf: Mapping[str, Any],
        model: nn.Module,
        config: Mapping[str, Any],
        options: argparse.Namespace,
        extra: Sequence[str] = (),
    ) -> "Plan":
        """Read what `read_conf` gives against a model.

        Raises:
            UserError: A budget or units that are none.
        """
        frames = frames_of(config)
        budget = Budget.from_conf(with_frames(conf["budget"], frames))
        root = root_of(model, budget)
        graph = unit_graph(root)
        graph.dense = priced(graph.dense, config)
        round_to = conf.get("round_to", 1)
        budget = located(budget, model, config, options, round_to)
        budget, graph.dense, table = timed(budget, graph.dense)
        return cls(
            method=get_method(conf["method"]),
            conf=conf,
            model=model,
            config=config,
            options=options,
            extra=list(extra),
            budget=budget,
            kinds=unit_kinds(conf.get("units")),
            round_to=round_to,
            seed=conf["seed"],
            frames=frames,
            root=root,
            graph=graph,
            latency=table,
        )

    @functools.cached_property
    def pricing(self) -> Pricing:
        """The costs that the budget bounds."""
        return Pricing(self.graph, self.budget)

    def own(self, key: str) -> Dict[str, Any]:
        """Return a mapping of the YAML, empty where it is not given."""
        return dict(self.conf.get(key) or {})

    def reached(self, kept: Any) -> Tuple[List[float], Dict[str, Any]]:
        """Return the shares that are removed, and the record of them.

        Args:
            kept: The Structure that stays.
        """
        shares = self.budget.reached(self.graph.dense, kept)
        record = {"budget": self.budget.conf(), "reached": self.budget.keyed(shares)}
        return shares, record
