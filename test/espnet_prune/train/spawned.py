# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The training task on a machine with two GPUs, played on the CPU."""

import os
import signal

from espnet_prune.train.task import PruneASRTask


class CpuTask(PruneASRTask):
    """Every rank uses the CPU; the second one is killed at its first step."""

    @classmethod
    def main_worker(cls, args):
        from torch.optim.optimizer import register_optimizer_step_post_hook

        args.ngpu = 0

        def kill(*unused):
            print(f"rank {args.dist_rank} makes a step", flush=True)
            if args.dist_rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)

        register_optimizer_step_post_hook(kill)
        super().main_worker(args)
