# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Milliseconds of an encoder on one device; see `measure.latency_table`."""

from espnet_prune.measure.prices import register_kind

register_kind(
    "ms", of=lambda cost: cost.ms, tolerance=0.01, by_length=True, device=True
)
