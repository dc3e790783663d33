# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Bytes on disk: parameters of four bytes, and the buffers of a checkpoint.

The names of the tensors and the container around them are not counted.
"""

from espnet_prune.measure.prices import register_kind

register_kind("bytes", of=lambda cost: 4 * cost.params + cost.stored, tolerance=0.005)
