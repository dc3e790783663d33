# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What the models of the directories beside this file hear."""

import numpy as np


def waves():
    """Return utterances (S,): quiet noise with an offset, of several lengths."""
    random = np.random.RandomState(1)
    return [
        (0.004 * random.randn(size) * np.linspace(0.2, 2, size) + 0.002).astype("f4")
        for size in (9000, 6100, 7777)
    ]
