# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What a family of stacks has to say; one object per family."""

import abc
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import nn

from espnet_prune.structure import Stack
from espnet_prune.units.graph import Place
from espnet_prune.units.narrow import moved_checkpoints
from espnet_prune.units.pricing import Parts
from espnet_prune.utils import UserError

# frontends of ESPnet that are whole self-supervised models; those that are known are
# built as ours
SSL_FRONTENDS = ("S3prlFrontend", "HuggingFaceFrontend", "ESPnetSSLFrontend")


class Family(abc.ABC):
    """A kind of encoder, decoder or joint network whose units are known.

    Attributes:
        stock: Name by which ESPnet's configurations call its class.
        pruned: Name of our class, which can be built at any Structure.
        stack: Stack of a model that it can be: its name here.
        attribute: ... and as an attribute of ESPnet's models.
        key: Key of a configuration that names the class; `{key}_conf` has its
            arguments.
    """

    stock = ""
    pruned = ""
    stack = "encoder"
    attribute = "encoder"
    key = "encoder"

    @abc.abstractmethod
    def fits(self, module: nn.Module) -> bool:
        """Say whether a module is of this family."""

    @abc.abstractmethod
    def parts(self, module: nn.Module) -> Parts:
        """Return the units of a module and what pricing must know.

        Raises:
            UserError: It has parts that no unit covers.
        """

    def after_cut(self, block: nn.Module) -> None:
        """Fit, in place, the rest of a block to the modules that are left."""

    @abc.abstractmethod
    def draw(
        self, module: nn.Module, place: Place, generator: torch.Generator, trial: int
    ) -> Tuple[Any, List[int]]:
        """Return random inputs for `run`, and their lengths."""

    @abc.abstractmethod
    def run(self, module: nn.Module, inputs: Any, ctc: Any = None) -> torch.Tensor:
        """Return what a module makes of inputs, without what padding gives; (n, C).

        Args:
            module: The module, dense or cut, in evaluation mode.
            inputs: What `draw` returned.
            ctc: CTC of the model, for self-conditioned intermediate CTC.
        """

    def stock_conf(
        self, conf: Mapping[str, Any], dense: Stack, kept: Stack
    ) -> Optional[Dict[str, Any]]:
        """Return the arguments with which the stock class rebuilds a cut module.

        Args:
            conf: Arguments of the dense module.
            dense: What it has.
            kept: What is left.

        Returns:
            The arguments, or None if the stock class cannot have this shape.
        """
        return None

    @staticmethod
    def fewer_blocks(conf: Mapping[str, Any], position: List[int]) -> Dict[str, Any]:
        """Return arguments of the stock class for some blocks, by their positions."""
        found = {key: value for key, value in conf.items() if key != "structure"}
        found["num_blocks"] = len(position)
        if conf.get("gradient_checkpoint_layers"):
            layers = conf["gradient_checkpoint_layers"]
            found["gradient_checkpoint_layers"] = moved_checkpoints(layers, position)
        return found

    def named_in(self, config: Mapping[str, Any]) -> Optional[str]:
        """Return what a configuration calls the class, if it is of this family."""
        name = config.get(self.key)
        return name if name and name in (self.stock, self.pruned) else None

    def conf_key(self, config: Mapping[str, Any]) -> str:
        """Return the key under which a configuration has the arguments."""
        return f"{self.key}_conf"

    def pruned_conf(self, conf: Mapping[str, Any], kept: Stack) -> Dict[str, Any]:
        """Return the arguments with which our class rebuilds a cut module."""
        return {**conf, "structure": kept.widths()}


def refuse_frontend(model: Any) -> None:
    """Refuse self-supervised models in front ends whose units are not known.

    Args:
        model: An encoder, a frontend, or a model with a frontend.

    Raises:
        UserError: There is one, alone or joined with others.
    """
    frontend = getattr(model, "frontend", model)
    inside = frontend.modules() if isinstance(frontend, nn.Module) else ()
    kind = next(
        (n for n in (type(m).__name__ for m in inside) if n in SSL_FRONTENDS), None
    )
    if kind is not None:
        raise UserError(
            f"{type(frontend).__name__} cannot be pruned: of front ends s3prl and "
            "huggingface with wav2vec 2.0, HuBERT or WavLM can; give a budget of the "
            "encoder alone, or train once more with encoder: pruned_wav2vec2 "
            "(docs/self_supervised.md)"
        )
