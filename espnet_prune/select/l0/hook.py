# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What gates do in a training, and the option that brings them into one."""

import argparse
import json
import logging
from typing import Any, Dict, List, Tuple

import torch
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet_prune.select.l0.conf import check_l0_conf
from espnet_prune.select.l0.gates import Gates, gates_of
from espnet_prune.select.l0.lagrangian import HASTE, check_ramp
from espnet_prune.tensor_names import as_written
from espnet_prune.train.extensions import Extension
from espnet_prune.train.hooks import Run, TrainHook
from espnet_prune.utils import UserError, atomic_torch_save, atomic_write


class GateHook(TrainHook):
    """Drives the gates, logs the selection and writes its result.

    Files in the experiment directory: `select.jsonl` (a line per interval), and at
    the end `weights.pth` (the co-trained weights, keys of the plain model) and
    `gates.pth` (the state of the gates).

    Args:
        gates: They are attached to what is trained.
    """

    name = "gates"
    log_name = "select.jsonl"

    def __init__(self, gates: Gates):
        self.gates = self.module = gates
        self.own_rate = float(gates.gate_lr)
        self.extra = 0  # steps beyond the end of the training

    def forward_begin(self, model: torch.nn.Module) -> None:
        self.gates.train_step_begin()

    def penalty(
        self, model: torch.nn.Module
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        return self.gates.regulariser()

    def open_blocks(self) -> List[bool]:
        return self.gates.block_exists().tolist()

    def run_start(self, run: Run) -> None:
        if run.planned is not None:
            check_ramp(self.gates.lagrangian.ramp_steps, run.planned)
        if run.main and not run.states:
            with atomic_write(run.output_dir / self.log_name):
                pass
            self.gates.log_to(run.output_dir / self.log_name)

    def resumed(self, run: Run) -> None:
        if run.main:
            # drops the lines that were written after the checkpoint
            self.gates.log_to(run.output_dir / self.log_name)

    def step(self, run: Run) -> None:
        if run.main and int(self.gates.lagrangian.step) % self.gates.log_interval == 0:
            stats = run.model.last_stats.items()
            self.gates.note({k: float(v) for k, v in stats if v is not None})
        self.gates.after_step(HASTE if run.extra else 1.0)
        self.extra += run.extra

    def unfinished(self, run: Run) -> str:
        behind = self.gates.behind()
        if not behind or self.extra >= self.gates.extra_steps:
            return ""
        more = self.gates.extra_steps - self.extra
        return f"{behind}, and the training goes on for at most {more} steps"

    def state_dict(self) -> Dict[str, torch.Tensor]:
        return {"extra": torch.tensor(self.extra)}

    def load_state_dict(self, state: Dict[str, torch.Tensor]) -> None:
        self.extra = int(state.get("extra", 0))

    def epoch_end(self, run: Run) -> None:
        self.gates.epoch_end()
        if run.main:
            summary = json.dumps(self.gates.structure().widths())
            logging.info(f"{run.epoch}epoch structure: {summary}")

    def run_end(self, run: Run) -> None:
        if not run.main:
            return
        state = run.model.state_dict()
        gates = {k: v for k, v in state.items() if k.startswith("gates.")}
        weights = {k: v for k, v in state.items() if k not in gates}
        weights = as_written(run.model, weights)
        atomic_torch_save(weights, run.output_dir / "weights.pth")
        gates = {k[len("gates.") :]: v for k, v in gates.items()}
        atomic_torch_save(gates, run.output_dir / "gates.pth")


class Gated(Extension):
    """A training with gates, `--l0_conf`.

    Accuracy falls while gates close, so that "best" would mean "least pruned", and an
    average over epochs would mix structures: the last epoch is the result.
    """

    what, keeps_last = "gates", True

    def add_options(self, group: Any) -> None:
        group.add_argument(
            "--l0_conf",
            action=NestedDictAction,
            default=dict(),
            help="Train with gates: the arguments of attach_gates",
        )

    def wanted(self, args: argparse.Namespace) -> bool:
        return bool(getattr(args, "l0_conf", None))

    def check(self, args: argparse.Namespace) -> None:
        check_l0_conf(args.l0_conf)

    def extend(self, args: argparse.Namespace, model: torch.nn.Module) -> None:
        """Put gates on what the budget is of.

        Raises:
            UserError: See `Gates`; or parameters are to be sharded.
        """
        if not self.wanted(args):
            return
        if args.sharded_ddp:
            raise UserError("sharded_ddp cannot be used with l0_conf")
        conf = {"seed": args.seed, **args.l0_conf}
        model.add_hook(GateHook(gates_of(model, **conf)))


EXTENSION = Gated()
