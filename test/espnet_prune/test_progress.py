# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Progress in a log: whole lines with what is done and how long the rest takes."""

import re
import time

from espnet_prune.progress import progress


def test_a_log_gets_lines_without_control_characters():
    lines = []
    bar = progress(3, "cutting", "trees", lines.append, seconds=0.01)
    for _ in range(3):
        time.sleep(0.02)
        bar.update()
    bar.close()
    pattern = r"cutting: [123]/3 trees, about \d\d:\d\d left"
    assert len(lines) == 3 and all(re.fullmatch(pattern, line) for line in lines)


def test_it_is_silent_while_the_work_is_short():
    lines = []
    bar = progress(None, "cutting", "trees", lines.append)
    bar.update()
    bar.close()
    assert lines == []


def test_without_a_total_it_counts():
    lines = []
    bar = progress(None, "cutting", "trees", lines.append, seconds=0.0)
    bar.update(2)
    bar.close()
    assert lines[-1] == "cutting: 2 trees"
