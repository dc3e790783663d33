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

from espnet_prune.registry import register

register()

from espnet2.tasks.abs_task import AbsTask  # noqa: E402

from espnet_prune.checkpoints import read_weights  # noqa: E402
from espnet_prune.models import load_model, with_defaults  # noqa: E402
from espnet_prune.patches import replaced  # noqa: E402
from espnet_prune.state_dicts import load_strictly  # noqa: E402
from espnet_prune.tasks import TASKS, task_of  # noqa: E402
from espnet_prune.utils import PathLike, UserError  # noqa: E402

_STOCK = AbsTask.__dict__["build_model_from_file"]


def build_from_file(
    cls: Any,
    config_file: Optional[PathLike] = None,
    model_file: Optional[PathLike] = None,
    device: str = "cpu",
) -> Tuple[Any, argparse.Namespace]:
    """Build a model for inference, and load every tensor of it.

    Args:
        cls: ESPnet's class of the task, or one of ours that is made of it.
        config_file: By default config.yaml beside the checkpoint.
        model_file: Without it the weights are random, as in ESPnet.
        device: Where the model goes.

    Raises:
        UserError: See `load_model`, or the model is of another task.
    """
    config_file = Path(config_file or Path(str(model_file)).parent / "config.yaml")
    names = [base.__module__.rsplit(".", 1)[-1] for base in cls.__mro__]
    name = next((name for name in names if name in TASKS), None)
    if model_file is None or name is None:  # a language model has no other task
        stock = cls if name is None else TASKS[name].espnet_class()
        model, args = _STOCK.__get__(None, stock)(config_file, None, device)
        if model_file is not None:
            remedy = f" under {config_file}; give the pair of one experiment"
            load_strictly(model, read_weights(model_file), str(model_file), remedy)
        return model, args
    model, config = load_model(config_file, model_file)
    own = task_of(config).name
    if own != name:
        raise UserError(f"{config_file}: a model of task {own}; give --task {own}")
    return model.to(device), with_defaults(config)


@contextlib.contextmanager
def strict_loading() -> Iterator[None]:
    """Let ESPnet's tasks, and with them `Speech2Text` and `inference`, load so."""
    loader = classmethod(build_from_file)
    with replaced(AbsTask, "build_model_from_file", loader):
        yield
