# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What share of the dense encoder's time a smaller one takes, measured in turns."""

import collections
import statistics
import time
from typing import Any, Dict, List

from torch import nn

from espnet_prune.families import unit_graph
from espnet_prune.measure.cost import WHOLE
from espnet_prune.measure.latency import input_of, quiet, utterance
from espnet_prune.measure.latency_fit import front_clock, shrunk, spent
from espnet_prune.structure import Structure
from espnet_prune.units.pricing import BLOCKS, FRONT

LEAST, MOST = 9, 61  # turns


def shares_of_time(
    encoder: nn.Module,
    structure: Structure,
    frames: int,
    threads: int = 1,
    seconds: float = 15.0,
    ctc: Any = None,
) -> Dict[str, float]:
    """Measure what share of the time an encoder takes at another structure.

    Both run in turns; a share is the median over the turns, so that neither a slow
    second nor a drift of the machine decides.

    Args:
        encoder: The dense encoder, on the CPU; it is left as it is.
        structure: What is kept of it, or of a model that it is in.
        frames: Length of the utterance in input frames.
        threads: Threads that torch may use. The times of one are CPU times.
        seconds: After which no further turn begins.
        ctc: CTC of the model, for self-conditioned intermediate CTC.

    Returns:
        Shares of the "encoder", of its "front" and of its "blocks", where it has both.
    """
    own = Structure({WHOLE: structure[WHOLE]})
    inputs, clocked = input_of(unit_graph(encoder)), front_clock(encoder)
    encoders = [encoder, shrunk(encoder, own)]
    calls = [utterance(one, frames, **inputs, ctc=ctc) for one in encoders]
    shares: Dict[str, List[float]] = collections.defaultdict(list)
    begun, turn = time.monotonic(), 0
    with quiet(threads):
        for call in calls * 2:
            call()
        while turn < LEAST or (turn < MOST and time.monotonic() - begun < seconds):
            pairs = list(zip(encoders, calls))
            order = (0, 1) if turn % 2 else (1, 0)
            times = {
                i: spent(pairs[i][0], clocked, pairs[i][1], threads) for i in order
            }
            for one in times.values():
                if FRONT in one:
                    one[BLOCKS] = one[WHOLE] - one[FRONT]
            for part, full in times[0].items():
                shares[part].append(times[1][part] / full)
            turn += 1
    return {part: statistics.median(values) for part, values in shares.items()}
