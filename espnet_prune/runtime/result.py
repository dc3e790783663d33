# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a recognition gives."""

import dataclasses
from typing import List


@dataclasses.dataclass(frozen=True)
class Result:
    """What was heard.

    Args:
        text: As ESPnet writes it.
        tokens: One by one.
        times: Second at which each token begins.
        score: Logarithm of the probability that the search has maximised; of several
            pieces their sum.
        seconds: Of audio.
        rtf: Real-time factor: seconds of work per second of audio.
    """

    text: str
    tokens: List[str]
    times: List[float]
    score: float
    seconds: float
    rtf: float
