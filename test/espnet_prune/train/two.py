# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Distributed training in two processes on the CPU."""

import os
import signal
import time
import traceback
from pathlib import Path
from typing import Callable, List

import torch


def rank_options(rank: int, meeting: Path) -> List[str]:
    """Return the options of one rank; both meet in a file that is not there yet."""
    options = {
        "dist_backend": "gloo",
        "dist_init_method": f"file://{meeting}",
        "dist_world_size": "2",
        "dist_rank": str(rank),
    }
    return [word for key, value in options.items() for word in (f"--{key}", value)]


def in_two_processes(work: Callable[[int], None], seconds: float = 300) -> List[int]:
    """Call `work` with 0 and 1, each in a fork; return the exit statuses.

    The status of a process that hung is -1.
    """
    children = []
    for rank in (0, 1):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(rank)
                status = 0
            except SystemExit as error:
                status = error.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(pid)
    deadline, statuses = time.monotonic() + seconds, {}
    while len(statuses) < 2 and time.monotonic() < deadline:
        for pid in children:
            if pid not in statuses:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    statuses[pid] = status
        time.sleep(0.05)
    for pid in children:
        if pid not in statuses:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return [statuses.get(pid, -1) for pid in children]


def record(path: Path) -> None:
    """Make this process save, at the end of a gated training, all that it knows."""
    from espnet_prune.select.l0.hook import GateHook

    original = GateHook.run_end

    def run_end(hook, run):
        original(hook, run)
        known = {
            "state": {k: v.clone() for k, v in run.model.state_dict().items()},
            "means": run.model.mix.means.get_state(),
            "widths": hook.gates.structure().widths(),
        }
        torch.save(known, path)

    GateHook.run_end = run_end
