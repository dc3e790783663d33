# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Let ESPnet's decoding load models as all of ours are loaded: whole, and no code.

ESPnet's own loader takes what fits of a file, leaves the rest at random, and unpickles
any object.
"""

import argparse
import contextlib
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

import espnet_prune

espnet_prune.register()

from espnet2.bin import asr_inference  # noqa: E402
from espnet2.tasks.asr import ASRTask  # noqa: E402
from espnet2.tasks.lm import LMTask  # noqa: E402

from espnet_prune.checkpoints import read_weights  # noqa: E402
from espnet_prune.models import load_model, load_strictly, with_defaults  # noqa: E402
from espnet_prune.utils import PathLike  # noqa: E402


def _config_of(config: Optional[PathLike], model_file: Optional[PathLike]) -> Path:
    return Path(config or Path(str(model_file)).parent / "config.yaml")


def build_from_file(
    config_file: Optional[PathLike] = None,
    model_file: Optional[PathLike] = None,
    device: str = "cpu",
) -> Tuple[Any, argparse.Namespace]:
    """Build a model for inference, and load every tensor of it.

    Args:
        config_file: By default config.yaml beside the checkpoint.
        model_file: Without it the weights are random, as in ESPnet.
        device: Where the model goes.

    Raises:
        UserError: See `load_model`.
    """
    config_file = _config_of(config_file, model_file)
    if model_file is None:
        return ASRTask.build_model_from_file(config_file, None, device)
    model, args = load_model(config_file, model_file)
    return model.to(device), with_defaults(args)


class StrictASRTask(ASRTask):
    """`ASRTask` that loads every tensor, or says which does not fit."""

    build_model_from_file = staticmethod(build_from_file)


class StrictLMTask(LMTask):
    """`LMTask` that loads every tensor, or says which does not fit."""

    @classmethod
    def build_model_from_file(
        cls,
        config_file: Optional[PathLike] = None,
        model_file: Optional[PathLike] = None,
        device: str = "cpu",
    ) -> Tuple[Any, argparse.Namespace]:
        """Build a language model, and load every tensor of it.

        Raises:
            UserError: The file does not fit the config.
        """
        config_file = _config_of(config_file, model_file)
        model, args = super().build_model_from_file(config_file, None, device)
        if model_file is not None:
            remedy = f" under {config_file}; give the pair of one experiment"
            load_strictly(model, read_weights(model_file), str(model_file), remedy)
        return model, args


@contextlib.contextmanager
def strict_loading() -> Iterator[None]:
    """Let `Speech2Text` and ESPnet's `inference` load with the tasks above."""
    stock = asr_inference.ASRTask, asr_inference.LMTask
    asr_inference.ASRTask, asr_inference.LMTask = StrictASRTask, StrictLMTask
    try:
        yield
    finally:
        asr_inference.ASRTask, asr_inference.LMTask = stock
