# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Several GPUs on one machine: ESPnet starts a process for each."""

import multiprocessing

import pytest
from torch.multiprocessing import ProcessExitedException

from test.espnet_prune.train.gated import command


def test_ranks_are_spawned_and_one_that_dies_ends_all(
    tiny, dense, train, monkeypatch, capfd
):
    from espnet_prune.train import command as module
    from test.espnet_prune.train.spawned import CpuTask

    monkeypatch.setattr(module, "check_gpus", lambda ngpu: None)
    monkeypatch.setattr(module, "task_in", lambda cmd: CpuTask)
    run = command(tiny, dense, tiny.root / "spawned")
    run += ["--ngpu", "2", "--multiprocessing_distributed", "true"]
    run += ["--dist_backend", "gloo"]
    with pytest.raises(ProcessExitedException, match="SIGKILL|exit code 1"):
        train(run)
    assert "rank 1 makes a step" in capfd.readouterr().out
    assert not multiprocessing.active_children()


def test_bad_input_that_a_rank_has_told(tiny, dense, train, monkeypatch):
    from espnet_prune.train import command as module

    class Task(module.PruneASRTask):
        @classmethod
        def main(cls, args):
            raise ProcessExitedException("ended", 0, 0, exit_code=args.max_epoch)

    monkeypatch.setattr(module, "task_in", lambda cmd: Task)
    with pytest.raises(SystemExit, match="2"):
        train(command(tiny, dense, tiny.root / "told", epochs=2))
    with pytest.raises(ProcessExitedException):
        train(command(tiny, dense, tiny.root / "told", epochs=1))
