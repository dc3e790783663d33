# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Progress in a log: whole lines with what is done and how long the rest takes."""

import io
import logging
import re
import time
import warnings

from espnet_prune.progress import progress, tell_less


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


def test_what_others_say_is_told_less(monkeypatch):
    stream, root = io.StringIO(), logging.Logger("root")
    root.addHandler(logging.StreamHandler(stream))
    monkeypatch.setattr(logging, "getLogger", lambda *name: root)
    with warnings.catch_warnings():
        tell_less()
    for path, level, text in (
        ("/x/espnet_prune/quick/run.py", logging.INFO, "ours"),
        ("/x/espnet2/tasks/asr.py", logging.INFO, "a model in all its parts"),
        ("/x/espnet2/tasks/asr.py", logging.WARNING, "a warning"),
        ("/x/espnet2/train/trainer.py", logging.INFO, "an epoch"),
    ):
        root.handle(logging.LogRecord("root", level, path, 1, text, (), None))
    assert stream.getvalue().splitlines() == ["ours", "a warning", "an epoch"]
