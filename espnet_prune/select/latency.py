# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Budgets in milliseconds: which table prices them."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple

from torch import nn

from espnet_prune.measure.duration import SECONDS, frames_of
from espnet_prune.measure.latency_table import NAME, LatencyTable, load_or_measure
from espnet_prune.select.budget import Budget
from espnet_prune.structure import Structure


def located(
    budget: Budget,
    model: nn.Module,
    config: Mapping[str, Any],
    options: argparse.Namespace,
    round_to: int = 1,
) -> Budget:
    """Return a budget that names its table: --latency, its own, or one made now.

    Without any the table of the output directory is taken, and made if it is not there.

    Args:
        budget: The budget.
        model: The dense model.
        config: Its config.yaml.
        options: Those of the command line, of which `latency` and `output_dir` count.
        round_to: Multiples of how many units are kept.

    Raises:
        UserError: See `load_or_measure`.
    """
    if not budget.timed:
        return budget
    first, folder = budget.timed[0], getattr(options, "output_dir", None)
    path = getattr(options, "latency", None) or first.latency
    if not path and folder:
        path = Path(folder) / NAME
        seconds = SECONDS * first.frames / frames_of(config)
        own = dict(runtime=first.runtime, round_to=max(1, round_to))
        load_or_measure(model, config, path, first.threads, seconds, **own)
    where = str(Path(path).resolve()) if path else ""
    rows = (dataclasses.replace(t, latency=where) for t in budget.timed)
    return Budget(tuple(next(rows) if t.price.device else t for t in budget))


def timed(
    budget: Budget, dense: Structure
) -> Tuple[Budget, Structure, Optional[LatencyTable]]:
    """Return a budget whose limits are sparsities, and what they are counted by.

    Args:
        budget: The budget; one in milliseconds names its table.
        dense: The dense model.

    Returns:
        The budget; the dense model, whose encoder is priced in milliseconds if they are
        bounded; and the table, if there is one.

    Raises:
        UserError: There is no table, or it is one of something else, or a limit is
            above what there is.
    """
    table = None
    if budget.timed and budget.timed[0].latency:
        first = budget.timed[0]
        table = LatencyTable.load(first.latency)
        table.check(dense, first.frames, first.threads, first.latency, first.runtime)
        dense = table.timed(dense)
    return budget.resolved(dense), dense, table
