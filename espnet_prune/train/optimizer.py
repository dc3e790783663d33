# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One optimiser that applies two rules."""

from typing import Any, Callable, Dict, Iterable, List, Optional

from torch.optim import Adam, Optimizer

from espnet_prune.utils import UserError


class WithAdam(Optimizer):
    """The user's rule for the weights, Adam at a constant rate for other parameters.

    How far the others move in a step must not depend on the rule for the weights:
    Adadelta, ESPnet's default, would hardly move them. It is one object, because
    ESPnet's loop unscales a second optimiser twice under AMP.

    Schedulers rescale every parameter group that they find here; the groups of Adam
    are put back to what they were whenever somebody looks. `GradScaler` finds no
    support for its scale, whatever the user's rule supports, so that it does not call
    `step` for a step that it skips.

    Args:
        weights: The user's optimiser. It is not used by itself any more.
        params: The other parameters, or groups of them, each with its "lr".
        lr: Learning rate of those that say none. They have no weight decay.
    """

    def __init__(
        self, weights: Optimizer, params: Iterable[Any], lr: float = 1e-3
    ) -> None:
        self._parts = (weights, Adam(params, lr=lr))
        self._own = len(weights.param_groups)
        self._held = [
            {key: value for key, value in group.items() if key != "params"}
            for group in self._parts[1].param_groups
        ]
        state = weights.state  # some rules, such as Adagrad, begin with a state
        groups = [group for part in self._parts for group in part.param_groups]
        super().__init__(groups, {})
        self.defaults = weights.defaults
        self.state.update(state)
        self._share()

    @property
    def param_groups(self) -> List[Dict[str, Any]]:
        """Groups of the weights, then of the other parameters."""
        self._hold()
        return self._groups

    @param_groups.setter
    def param_groups(self, groups: List[Dict[str, Any]]) -> None:
        self._groups = groups

    def _hold(self) -> None:
        for group, held in zip(self._groups[self._own :], self._held):
            group.update(held)

    def _share(self) -> None:
        """Let both rules work on the state and the groups of this object."""
        for part, groups in zip(
            self._parts, (self._groups[: self._own], self._groups[self._own :])
        ):
            part.__setstate__({"state": self.state, "param_groups": groups})

    def __setstate__(self, state: Dict[str, Any]) -> None:
        super().__setstate__(state)
        self.param_groups = self.__dict__.pop("param_groups")
        self._share()

    def __repr__(self) -> str:
        weights, other = self._parts
        return f"{weights!r}\nOthers: {other!r}"

    def step(self, closure: Optional[Callable[[], float]] = None) -> Any:
        """Apply both rules once."""
        self._hold()
        weights, other = self._parts
        loss = weights.step() if closure is None else weights.step(closure)
        other.step()
        return loss

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Take over the state of an earlier run.

        Raises:
            UserError: There, another rule than Adam moved the other parameters.
        """
        groups = state_dict["param_groups"]
        known = state_dict["state"]
        for number in [n for group in groups[self._own :] for n in group["params"]]:
            if number in known and "exp_avg_sq" not in known[number]:
                raise UserError(
                    "checkpoint.pth is of an earlier version, which moved all "
                    "parameters by the optimiser of the weights; remove it to train "
                    "from the start"
                )
        super().load_state_dict(state_dict)
