# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

from espnet_prune.deploy.int8 import clock
from espnet_prune.runtime import measure


def test_a_clock_that_stands_still_once_decides_nothing(monkeypatch):
    """Neither does one that jumps: of some runs one is no measurement."""

    class Session:
        def __init__(self, ms):
            self.ms, self.runs = ms, 0

        def run(self, names, inputs):
            self.runs += 1
            times = {2: 0.0, 4: 100.0}  # of the second and the fourth run
            now[0] += 0.001 * times.get(self.runs, self.ms)

    now = [0.0]
    monkeypatch.setattr(measure.time, "thread_time", lambda: now[0])
    monkeypatch.setattr(clock, "open_session", Session)
    found = clock.in_turns({"fp32": 3.0, "int8": 2.0}, {}, seconds=0.0)
    assert {name: round(ms, 6) for name, ms in found.items()} == {
        "fp32": 3.0,
        "int8": 2.0,
    }
