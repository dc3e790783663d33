# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What is known of a runtime of others: its package, and the ways into it."""

import importlib.metadata
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from espnet_prune.runtime.package import Package
from espnet_prune.utils import UserError

Heard = Callable[[np.ndarray], str]
# limits of several slots
BEST_PATH = "the best path of CTC, without the decoder that the model may have"
ONE_LANGUAGE = "one language, that of the model"


class Part(NamedTuple):
    """One model of a deployed directory.

    Attributes:
        folder: Where it is in that: "" or, of a size or depth, as in "size_50".
        precision: "fp32" or "int8".
    """

    folder: str
    precision: str


class Slot(ABC):
    """One way into a runtime: a kind of model that it knows.

    Attributes:
        name: As the runtime calls it.
        limits: What it does not do, in plain sentences.
        usage: How it is run, in Markdown; {folder} stands for where its files are.
        cuts: Whether it cuts long audio into pieces, as our runtime does.
    """

    name: str
    limits: Tuple[str, ...] = ()
    usage: str
    cuts = False

    @abstractmethod
    def unfit(self, package: Package, facts: Mapping[str, Any]) -> Optional[str]:
        """Return why it cannot take a model and what would do, or None if it can.

        Args:
            package: The deployed model; its files may not be there yet.
            facts: Content of the model's config.yaml: frontend, frontend_conf,
                normalize, encoder and so on.
        """

    @abstractmethod
    def write(self, package: Package, model: Path, folder: Path) -> None:
        """Write what the runtime reads.

        Args:
            package: The deployed model.
            model: Its model.onnx of the precision that is wanted.
            folder: An empty directory.
        """

    @abstractmethod
    def open(self, folder: Path) -> Heard:
        """Return what the real package makes of samples (S,), on one thread.

        It is called in a process of its own: a package may end that. What it returns
        may have a method `close`.

        Args:
            folder: What `write` has filled.
        """

    def parts(self, package: Package, precision: str) -> List[Part]:
        """Return the models that `write` writes: as it is here, the one that is given.

        Args:
            package: The deployed model.
            precision: That of the model that is given.
        """
        return [Part("", precision)]

    def open_part(self, folder: Path, part: Part) -> Heard:
        """Return what one of several models hears; see `open`."""
        return self.open(folder)

    def spaced(self, text: str) -> str:
        """Return what becomes of the spaces of a text of ours."""
        return text.lstrip(" ")


class Target(NamedTuple):
    """A runtime.

    Attributes:
        name: As `--for` takes it.
        package: On PyPI; None for what is no package of Python.
        tried: Releases that were.
        slots: In order of preference.
    """

    name: str
    package: Optional[str]
    tried: Tuple[str, ...]
    slots: Tuple[Slot, ...]

    def version(self) -> Optional[str]:
        """Return the release that is installed.

        Raises:
            UserError: None is.
        """
        if self.package is None:
            return None
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError as error:
            raise UserError(
                f"--for {self.name}: texts are compared by the package {self.package} "
                f"itself, which is not installed; call pip install {self.package}"
            ) from error

    def slot(self, package: Package, facts: Mapping[str, Any]) -> Slot:
        """Return the first slot that takes a model.

        Raises:
            UserError: None does; the reasons of all are told.
        """
        reasons = []
        for slot in self.slots:
            reason = slot.unfit(package, facts)
            if reason is None:
                return slot
            reasons.append(f"{slot.name}: {reason}")
        raise UserError(
            f"--for {self.name}: cannot take the model; {'; '.join(reasons)}"
        )
