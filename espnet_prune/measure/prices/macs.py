# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Multiply-accumulates of an utterance."""

from espnet_prune.measure.prices import register_kind

register_kind("macs", of=lambda cost: cost.macs, tolerance=0.01, by_length=True)
