# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The local backend of the launcher: jobs on this machine, some at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple


def footer(code: int, start: float, threads: str) -> str:
    """The last lines of a log, those that run.pl writes."""
    seconds = int(time.time() - start)
    return (
        f"# Accounting: time={seconds} threads={threads}\n"
        f"# Ended (code {code}) at {time.ctime()}, elapsed time {seconds} seconds\n"
    )


def run_local(
    lines: List[str],
    logs: List[Path],
    options: Dict[str, str],
    poll: Callable[[], None],
) -> List[int]:
    """Run shell lines on this machine, some at a time; returns their exit codes."""
    limit = int(options.get("max_jobs_run") or os.cpu_count() or 1)
    threads = options.get("num_threads", "1")
    codes: List[Optional[int]] = [None] * len(lines)
    running: Dict[int, Tuple[subprocess.Popen, float]] = {}
    waiting = list(range(len(lines)))

    signals: List[int] = []  # a job that is just starting is not in `running` yet

    def stop(signum, frame):
        signals.append(signum)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    polled = time.time()
    while waiting or running:
        while waiting and len(running) < limit and not signals:
            i = waiting.pop(0)
            with open(logs[i], "w") as f:
                f.write(f"# {lines[i]}\n# Started at {time.ctime()}\n#\n")
            with open(logs[i], "a") as f:
                process = subprocess.Popen(
                    ["bash", "-c", lines[i]],
                    stdin=subprocess.DEVNULL,
                    stdout=f,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    close_fds=False,  # it holds the lock of stages.sh, if we are killed
                )
            running[i] = (process, time.time())
        time.sleep(0.05)
        if signals:
            for process, _ in running.values():
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except OSError:
                    pass
            sys.exit(128 + signals[0])
        for i, (process, start) in list(running.items()):
            code = process.poll()
            if code is not None:
                codes[i] = code if code >= 0 else 128 - code
                with open(logs[i], "a") as f:
                    f.write(footer(codes[i], start, threads))
                del running[i]
        if time.time() - polled > 0.5:
            polled = time.time()
            poll()
    poll()
    return [1 if code is None else code for code in codes]
