# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Hard concrete gates on the units of a module, trained towards a budget."""

from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import torch
from torch import nn

from espnet_prune.families import unit_graph
from espnet_prune.select.budget import UNIT_KINDS, Budget, check_reachable, unit_kinds
from espnet_prune.select.l0.conf import drop_rates, number
from espnet_prune.select.l0.controller import Controller, fp32
from espnet_prune.select.l0.hard_concrete import initial_theta, sample, soft_value
from espnet_prune.select.l0.log import GateLog
from espnet_prune.select.latency import timed
from espnet_prune.select.plan import root_of
from espnet_prune.structure import Structure
from espnet_prune.units import MaskHooks, UnitGraph
from espnet_prune.utils import PathLike, UserError, load_tensors

# of `clamp`: |theta| of gates that start from places and are next to the limit
NEAREST = 0.75


class Gates(nn.Module):
    """All gates of a module as one parameter vector; a controller leads them.

    While training, one mask is drawn per mini-batch; in eval mode the masks are
    deterministic and meet the current targets exactly. Masks multiply through forward
    hooks; the module itself is not changed.

    Args:
        root: The module to prune: an encoder, or another that `unit_graph` knows.
        graph: Its units.
        budget: What it may cost in the end.
        units: Kinds of units that get a gate, in the parts that the budget covers.
        drop: Initial drop rate, or one per kind.
        mask: "soft" keeps the trained value of open gates, to be folded into the
            weights; "hard" sets it to 1.
        clamp: Bound on |theta|; beyond it a gate has no gradient to come back.
        round_to: Keep a multiple of this many units in every vector.
        seed: Seed of the private generator that draws the masks.
        log_interval: Steps between two lines of the log.
        start: File with the places of all units, see `start.places`, from which gates
            start at the budget: those that stay open and the others shut, instead of
            all at the drop rate and with a ramp.
        extra_steps: How many steps a training may go on beyond its end until the gates
            expect the targets; None: twice as many as the ramp has.
        **lagrangian: See `Lagrangian`.

    Attributes:
        names: Vectors that have gates, in the order of theta.

    Raises:
        UserError: See `check_reachable` and `Lagrangian`; or a bad value, such as a
            `clamp` within which the gates cannot close far enough.
    """

    def __init__(
        self,
        root: nn.Module,
        graph: UnitGraph,
        budget: Budget,
        units: Tuple[str, ...] = UNIT_KINDS,
        drop: Union[float, Mapping[str, float]] = 0.01,
        mask: str = "soft",
        clamp: float = 6.0,
        round_to: int = 1,
        seed: int = 0,
        log_interval: int = 20,
        extra_steps: Optional[int] = None,
        start: Optional[PathLike] = None,
        **lagrangian: Any,
    ) -> None:
        units = unit_kinds(units)
        check_reachable(graph, units, budget, round_to)
        number("clamp", clamp, above=0)
        number("seed", seed, whole=True)
        number("log_interval", log_interval, least=1, whole=True)
        if extra_steps is not None:
            number("extra_steps", extra_steps, least=0, whole=True)
        if mask not in ("soft", "hard"):
            raise UserError(f"l0_conf: mask '{mask}' must be soft or hard")
        super().__init__()
        self.mask, self.clamp, self.seed = mask, clamp, seed
        self.log_interval = log_interval
        self.controller = Controller(
            graph, budget, units, round_to, at_once=start is not None, **lagrangian
        )
        self.graph, self.budget = graph, budget
        self.names = self.controller.names
        # a submodule, so that its state is moved and saved with the gates
        self.lagrangian = self.controller.lagrangian
        self.extra_steps = extra_steps
        if extra_steps is None:
            self.extra_steps = 2 * self.lagrangian.ramp_steps
        first = self._initial(drop) if start is None else self._started(start)
        self.theta = nn.Parameter(first)
        self.controller.check_clamp(self.theta, clamp)
        self._micro_batch = 0
        self._cache: Optional[Tuple[Tuple[int, float], Dict[str, torch.Tensor]]] = None
        self._log: Optional[GateLog] = None
        self.hooks = MaskHooks(root, graph)
        self._before = root.register_forward_pre_hook(self._before_root)

    def _initial(self, drop: Union[float, Mapping[str, float]]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        rates = drop_rates(drop)
        means = [
            torch.full((size,), initial_theta(rates[self.graph[name].kind]))
            for name, size in zip(self.names, self.controller.sizes)
        ]
        noise = torch.randn(sum(self.controller.sizes), generator=generator)
        return torch.cat(means) + 0.01 * noise

    def _started(self, start: PathLike) -> torch.Tensor:
        places = load_tensors(start)
        sizes = {name: len(places.get(name, ())) for name in self.names}
        if list(sizes.values()) != self.controller.sizes:
            raise UserError(
                f"l0_conf: start {start} is of other units than this model has"
            )
        place = torch.cat([places[name] for name in self.names])
        return self.clamp * (place.sign() * NEAREST + place * (1 - NEAREST))

    @property
    def gate_lr(self) -> float:
        """Learning rate of theta; its weight decay must be 0."""
        return self.lagrangian.gate_lr

    def _before_root(self, root: nn.Module, args: Any) -> None:
        if not root.training:
            self.hooks.values = self.masks()

    _before_root.is_mask = True

    def train_step_begin(self) -> None:
        """Draw the masks of one mini-batch.

        The draw depends on (seed, step, micro-batch) alone, so it is the same after a
        resume and on every rank, and it shifts no other random stream.
        """
        key = (self.seed * 1_000_003 + int(self.lagrangian.step)) * 1009
        generator = torch.Generator().manual_seed((key + self._micro_batch) % 2**63)
        self._micro_batch += 1
        u = torch.rand(len(self.theta), generator=generator).to(self.theta.device)
        with fp32(self.theta):
            z = sample(self.theta.float(), u)
        self.hooks.values = self._without_units_closed(z)

    def _without_units_closed(self, z: torch.Tensor) -> Dict[str, torch.Tensor]:
        """Return drawn masks by name; a module without units is 0, as when cut."""
        values, left = self.controller.by_name(z), self.controller.sums(z.detach())
        for name, some in zip(self.names, (left > 0).to(z).split(1)):
            module = self.graph[name].module
            if module is not None:
                values[module] = values.get(module, some) * some
        return values

    def sparsity(self) -> torch.Tensor:
        """Return the expected share of each target's cost that goes; (targets,)."""
        return self.controller.sparsity(self.theta)

    def regulariser(self) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        """Return the Lagrangian () and its parts, to be added to the training loss.

        Raises:
            FloatingPointError: Gates are no longer finite.
        """
        reached = self.sparsity()
        if not bool(torch.isfinite(reached).all()):
            raise FloatingPointError("gates are not finite; lower the learning rate")
        found = reached.detach()
        stats = self.controller.by_target(
            sparsity=found.float(),
            target=found.new_tensor(self.lagrangian.targets()).float(),
            multiplier=self.lagrangian.multiplier.detach().float().clone(),
        )
        return self.lagrangian.loss(reached).float(), stats

    @torch.no_grad()
    def after_step(self, haste: float = 1.0) -> None:
        """Clamp, ascend, ramp; once per optimiser step that was really taken.

        Args:
            haste: See `Lagrangian.after_step`.
        """
        self.theta.clamp_(-self.clamp, self.clamp)
        reached = self.sparsity()
        step = int(self.lagrangian.step)
        if self._log is not None and self._log.due(step):
            values = self.controller.by_target(
                target=self.lagrangian.targets(),
                reached=reached.tolist(),
                multiplier=self.lagrangian.multiplier.tolist(),
            )
            self._log.write(step, values)
        self.lagrangian.after_step(reached, haste)
        self._micro_batch = 0

    @torch.no_grad()
    def behind(self) -> str:
        """Say which targets the gates do not expect yet; "" if they expect all."""
        return self.controller.behind(self.theta)

    def epoch_end(self) -> None:
        """Start the next epoch with the first mask of its step.

        Micro-batches that were too few for a step are forgotten, as they are by a run
        that resumes here.
        """
        self._micro_batch = 0

    def note(self, parts: Mapping[str, float]) -> None:
        """Remember parts of the loss for the next line of the log."""
        if self._log is not None:
            self._log.note(parts)

    def log_to(self, path: PathLike) -> None:
        """Write a JSON line per interval; lines from beyond a resume are dropped."""
        self._log = GateLog(path, int(self.lagrangian.step), self.log_interval)

    @torch.no_grad()
    def masks(self) -> Dict[str, torch.Tensor]:
        """Return the deterministic masks, which meet the current targets exactly.

        Entries are 0 for what is removed, and otherwise 1 or the soft value.
        """
        # identity of the content, so that loading or moving weights is noticed
        key = (self.theta._version, float(self.theta.double().sum()))
        key = (*key, self.lagrangian.share())
        if self._cache is None or self._cache[0] != key:
            self._cache = (key, self._project())
        return {name: mask.clone() for name, mask in self._cache[1].items()}

    @torch.no_grad()
    def masks_within(self, budget: Budget) -> Dict[str, torch.Tensor]:
        """Return what `masks` would be for another budget."""
        return self._project(budget)

    def _project(self, budget: Optional[Budget] = None) -> Dict[str, torch.Tensor]:
        masks = self.controller.project(self.theta, budget)
        theta = self.controller.by_name(self.theta.detach().float())
        if masks is None:
            masks = {name: torch.ones_like(value) for name, value in theta.items()}
        if self.mask == "soft":
            soft = {name: soft_value(value) for name, value in theta.items()}
            masks = {  # a module without a gate is there only if it is removed
                name: mask.to(self.theta.device) * soft.get(name, 1.0)
                for name, mask in masks.items()
            }
        return masks

    def structure(self) -> Structure:
        """Return what the deterministic masks keep."""
        return self.graph.structure(
            {name: mask.cpu() for name, mask in self.masks().items()}
        )

    def block_exists(self) -> torch.Tensor:
        """Return which blocks of the encoder still do something; (blocks,)."""
        blocks = self.graph.dense["encoder"].kept_blocks
        alive = torch.zeros(len(blocks), dtype=torch.bool)
        seen: List[int] = []
        for unit in self.graph:
            if unit.kind == "module" and unit.stack == "encoder":
                seen.append(unit.block)
                mask = self.hooks.values.get(unit.name)
                if mask is None or bool((mask != 0).any()):
                    alive[unit.block] = True
        seen_blocks = torch.zeros_like(alive)
        seen_blocks[seen] = True
        return alive | ~seen_blocks  # a block without module gates always exists

    def detach_hooks(self) -> None:
        """Take the gates off the module."""
        self.hooks.remove()
        self._before.remove()


def attach_gates(root: nn.Module, *, budget: Any = None, **conf: Any) -> Gates:
    """Put gates on a module.

    Args:
        root: An encoder that `unit_graph` knows, stock or pruned.
        budget: {"kind": "params" | "macs", "sparsity": 0.5, "frames": 1000}, or a
            sparsity per part, or a list; see `espnet_prune.select.budget`. Of kind "ms"
            it names its table, "latency".
        **conf: See `Gates` and `Lagrangian`, e.g. `ramp_steps`, `units`, `mask`.

    Returns:
        The gates. Make them a submodule of the model that is trained, so that their
        parameter is optimised, saved, and synchronised between processes.

    Raises:
        UserError: See `Gates` and `timed`.
    """
    graph = unit_graph(root)
    budget = Budget.from_conf({} if budget is None else budget)
    budget, graph.dense, _ = timed(budget, graph.dense)
    return Gates(root, graph, budget, **conf)


def gates_of(model: nn.Module, **conf: Any) -> Gates:
    """Put gates on that part of a model which a budget is of; see `attach_gates`."""
    budget = Budget.from_conf(conf.get("budget") or {})
    return attach_gates(root_of(model, budget), **conf)
