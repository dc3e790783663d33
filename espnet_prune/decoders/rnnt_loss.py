# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""A loss for transducers where warp-transducer is not there.

ESPnet's models import `RNNTLoss` from `warprnnt_pytorch`, which has to be compiled
against one release of torch. Where that import fails, ESPnet's own `RNNTLossNumba`,
the same loss, stands in under that name. It needs numba, which librosa brings along.
"""

import importlib.abc
import importlib.machinery
import logging
import sys
from types import ModuleType
from typing import Any, Optional, Sequence

from espnet_prune.packages import found_by_others

NAME = "warprnnt_pytorch"


def _loss() -> type:
    import torch
    from espnet2.asr.transducer.rnnt_multi_blank.rnnt_multi_blank import RNNTLossNumba

    def forward(self: Any, acts: Any, *others: Any) -> Any:
        threads = torch.get_num_threads()
        try:
            # half precision is too coarse for sums over all alignments
            return RNNTLossNumba.forward(self, acts.float(), *others)
        finally:
            # numba and torch share the OpenMP library, and its number of threads
            torch.set_num_threads(threads)

    # as a part of that module its objects can be pickled
    return type("RNNTLoss", (RNNTLossNumba,), {"forward": forward, "__module__": NAME})


class _Loader(importlib.abc.Loader):
    """Runs the real module; where it fails to import, fills in the loss instead."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        return self._loader.create_module(spec) if self._loader else None

    def exec_module(self, module: ModuleType) -> None:
        why = "it is not installed"
        if self._loader is not None:
            try:
                self._loader.exec_module(module)
                return
            except (ImportError, OSError) as error:  # compiled for another torch
                why = str(error)
        module.RNNTLoss = _loss()
        logging.warning(
            f"{NAME} cannot be imported ({why}); ESPnet's RNNTLossNumba stands in: the "
            "same loss, slow on a CPU"
        )


class _Finder(importlib.abc.MetaPathFinder):
    """Watches for the import of warp-transducer."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Any:
        if fullname != NAME:
            return None
        spec = found_by_others(self, fullname, path, target)
        if spec is None:
            return importlib.machinery.ModuleSpec(NAME, _Loader(None))
        spec.loader = _Loader(spec.loader)
        return spec


def install() -> None:
    """Let ESPnet find a transducer's loss. Calling it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
