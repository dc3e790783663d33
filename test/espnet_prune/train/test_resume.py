# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Kill a training anywhere: it ends like one that ran through."""

import os
import signal
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

from test.espnet_prune.train.gated import command, same


def in_child(function):
    """Run in a forked process; return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            function()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def killed_at(number):
    """Patch this process so that event `number` ends it with SIGKILL."""
    count = [0]

    def event(*unused):
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1

    def watch(owner, name):
        original = getattr(owner, name)

        def call(*args, **kwargs):
            event()
            result = original(*args, **kwargs)
            event()
            return result

        setattr(owner, name, call)

    watch(os, "replace")
    watch(Path, "unlink")
    watch(Path, "symlink_to")
    register_optimizer_step_post_hook(event)
    return count


def count_events(run):
    """Return how many places for a kill one run has."""
    reader, writer = os.pipe()

    def child():
        count = killed_at(-1)
        run()
        os.write(writer, str(count[0]).encode())

    assert in_child(child) == 0
    os.close(writer)
    return int(os.read(reader, 100))


def test_killed_anywhere_ends_like_an_uninterrupted_run(tiny, dense, train):
    whole = tiny.root / "whole"
    total = count_events(lambda: train(command(tiny, dense, whole)))
    assert total > 30
    numbers = range(5, total, max(1, total // 4))
    for number in numbers:
        output = tiny.root / f"killed{number}"

        def run(number=number, output=output):
            killed_at(number)
            train(command(tiny, dense, output))

        assert os.WTERMSIG(in_child(run)) == signal.SIGKILL
        train(command(tiny, dense, output))
        for name in ("weights.pth", "gates.pth"):
            assert same(whole / name, output / name), (number, name)
        logs = [(d / "select.jsonl").read_text() for d in (whole, output)]
        assert logs[0] == logs[1], number
        assert {p.name for p in output.iterdir()} == {p.name for p in whole.iterdir()}


def test_killed_distillation_averages_the_same_models(tiny, dense, train):
    whole = tiny.root / "recover_whole"
    changes = dict(l0_conf=None, epochs=4, keep_nbest_models=2)
    total = count_events(lambda: train(command(tiny, dense, whole, **changes)))
    for number in (total // 3, total - 4):
        output = tiny.root / f"recover_killed{number}"

        def run(number=number, output=output):
            killed_at(number)
            train(command(tiny, dense, output, **changes))

        assert os.WTERMSIG(in_child(run)) == signal.SIGKILL
        train(command(tiny, dense, output, **changes))
        assert same(whole / "valid.acc.ave.pth", output / "valid.acc.ave.pth")
        assert {p.name for p in output.iterdir()} == {p.name for p in whole.iterdir()}


def test_stopped_early_stays_stopped(tiny, dense, train, caplog):
    output = tiny.root / "patience"
    changes = dict(l0_conf=None, optim_conf=dict(lr=0.0), scheduler=None)
    changes.update(patience=1, early_stopping_criterion=["valid", "loss", "min"])
    cmd = command(tiny, dense, output, epochs=9, **changes, scheduler_conf={})
    train(cmd)
    before = sorted(p.name for p in output.iterdir())
    assert "9epoch.pth" not in before
    train(cmd)
    assert sorted(p.name for p in output.iterdir()) == before
