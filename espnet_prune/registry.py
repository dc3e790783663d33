# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Make our encoders, decoders and front ends known to ESPnet, without touching it."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from types import ModuleType
from typing import Any, Dict, Optional, Sequence

from espnet_prune.decoders import rnnt_loss
from espnet_prune.packages import found_by_others

# where tasks keep registries of encoders, decoders and front ends of their own
_TASKS = ("espnet2.tasks.", "espnet3.systems.")
# the module that greets on stdout, which scoring pipes to files
_NOISY = tuple(
    f"{package}.pytorch_backend.transformer.attention"
    for package in ("espnet.nets", "espnet2.legacy.nets")
)


def encoders() -> Dict[str, type]:
    """Return our class for every family of encoders, by its name."""
    from espnet_prune.families import FAMILIES

    found = {}
    for name in [f.pruned for f in FAMILIES if f.stack == "encoder" and f.pruned]:
        module = importlib.import_module(f"espnet_prune.encoders.{name}")
        (found[name],) = [
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and kind.__module__ == module.__name__
        ]
    return found


def _decoders() -> Dict[str, type]:
    from espnet_prune.decoders.pruned_transformer import PrunedTransformerDecoder

    return {"pruned_transformer_decoder": PrunedTransformerDecoder}


def _frontends() -> Dict[str, type]:
    from espnet_prune.encoders.pruned_ssl import PrunedSSLFrontend
    from espnet_prune.frontends.kaldi_fbank import KaldiFbank

    return {"kaldi_fbank": KaldiFbank, "pruned_ssl": PrunedSSLFrontend}


# the abstract classes of those in registries that ours belong into
_BASES = {
    "espnet2.asr.encoder.abs_encoder": encoders,
    "espnet2.asr.decoder.abs_decoder": _decoders,
    "espnet2.asr.frontend.abs_frontend": _frontends,
}


def _add_to(task: ModuleType) -> None:
    """Add our classes to every registry of their kind in a module. Idempotent."""
    for choices in list(vars(task).values()):
        if type(choices).__name__ != "ClassChoices":
            continue
        base = choices.base_type
        if base is not None and base.__module__ in _BASES:
            for name, kind in _BASES[base.__module__]().items():
                if not issubclass(kind, base):
                    raise TypeError(f"{kind.__name__} is not an ESPnet {base.__name__}")
                choices.classes[name] = kind


def register() -> None:
    """Make `pruned_conformer` and the other pruned encoders loadable by ESPnet.

    Call it before `Speech2Text(...)` or `ASRTask.build_model_from_file(...)`. Tasks
    that are loaded later are served too. Calling it again changes nothing.
    """
    install_hook()
    with contextlib.redirect_stdout(sys.stderr):
        importlib.import_module("espnet2.tasks.asr")
    for name, module in list(sys.modules.items()):
        if name.startswith(_TASKS) and module is not None:
            _add_to(module)


class _Loader(importlib.abc.Loader):
    """Runs the real loader, then adds our encoders to the fresh module."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self._loader.exec_module(module)
        if module.__name__ not in _NOISY:
            _add_to(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Watches for the import of ESPnet's tasks and of its noisy module."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Any:
        if not fullname.startswith(_TASKS) and fullname not in _NOISY:
            return None
        # enh_s2t copies asr's registry at import, so asr must be filled right away
        spec = found_by_others(self, fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def install_hook() -> None:
    """Register lazily: as soon as, and only if, an ESPnet task is imported.

    Transducers find a loss from then on, too.
    """
    rnnt_loss.install()
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
