# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Tables of latencies that nobody has measured."""

from espnet_prune import cost
from espnet_prune.measure.latency_table import LatencyTable, named_terms

# milliseconds of a module that is there, whatever its width, and of a unit
OVERHEAD, UNIT = 2.0, 0.01


def table_of(dense, frames=1000, **changes):
    """Return a table in which every module, block and unit costs the same.

    Args:
        dense: Structure of the dense encoder.
        frames: Length that it is for.
        **changes: What it says otherwise.
    """
    rows = {
        name: UNIT if any(not _whole(dense, u) for u in term.units) else OVERHEAD
        for name, term in named_terms(dense["encoder"])
    }
    price = cost(dense, frames, "encoder")
    known = dict(device="abacus", runtime="torch", version="0", threads=1, seconds=10.0)
    known.update(date="2026-01-01", params=price.params, macs=price.macs, rows=rows)
    known.update(frames=frames, dense_ms=0.0, structures=1, error=0.0)
    table = LatencyTable(**{**known, **changes})
    if "dense_ms" not in changes:
        table.dense_ms = cost(table.timed(dense), frames, "encoder").ms
    return table


def _whole(dense, unit):
    return dense["encoder"].price.vectors[unit].whole
