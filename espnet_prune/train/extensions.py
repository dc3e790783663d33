# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What can be added to a training: every `hook.py` of this package brings its own.

Such a file sits in the folder of what it serves, and ends in `EXTENSION = ...`. It is
found by looking: a process that ESPnet spawns for a further GPU finds it, too.
"""

import argparse
import functools
import importlib
from pathlib import Path
from typing import Any, List, Tuple

import torch

from espnet_prune import utils


class Extension:
    """Options of a training, and what they do to its model; override what is needed.

    Attributes:
        what: What the training is then said to be with.
        keeps_last: Whether the result is the last epoch: none is better than another.
        adds_loss: Whether something is learned beside ESPnet's own loss.
    """

    what, keeps_last, adds_loss = "", False, True

    def add_options(self, group: Any) -> None:
        """Add options to a group of ESPnet's parser."""

    def wanted(self, args: argparse.Namespace) -> bool:
        """Say whether the options ask for it."""
        return False

    def needs_trainer(self, args: argparse.Namespace) -> str:
        """Name what of it works with our trainer alone; "" where all works anywhere."""
        return self.what

    def check(self, args: argparse.Namespace) -> None:
        """Refuse, before any long work, what the options say.

        Raises:
            UserError: An unknown key, or a value that is none.
        """

    def files(self, args: argparse.Namespace) -> List[Tuple[str, Any]]:
        """Return (option, path or None) of files that must be there."""
        return []

    def labels(self, args: argparse.Namespace) -> bool:
        """Say whether the training needs text."""
        return True

    def extend(self, args: argparse.Namespace, model: torch.nn.Module) -> None:
        """Add hooks to a `Hooked` model, if any extension is wanted."""


@functools.lru_cache(maxsize=None)
def extensions() -> List[Extension]:
    """Return all extensions; those that select come before what adds parameters."""
    package = Path(utils.__file__).parent
    paths = sorted(package.glob("*/**/hook.py"), reverse=True)
    names = [
        ".".join(p.relative_to(package.parent).with_suffix("").parts) for p in paths
    ]
    return [importlib.import_module(name).EXTENSION for name in names]
