# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Parameters."""

from espnet_prune.measure.prices import register_kind

register_kind("params", of=lambda cost: cost.params, tolerance=0.005)
