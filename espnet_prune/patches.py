# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Every change that is made to ESPnet or torch while a program runs.

Nothing is changed on disk. What replaces something goes through `replace` (for good, in
this process) or `replaced` (for a while), and both refuse what TABLE does not list;
what is added to registries, tables or import hooks is listed in ADDED.
"""

import contextlib
import fnmatch
from types import ModuleType
from typing import Any, Dict, Iterator

# what is replaced, for how long, and why
TABLE: Dict[str, str] = {
    "torch.save": "while training: files are written whole or not at all, weights "
    "under names that every release loads, and hooks have a place in the checkpoint",
    "torch.nn.utils.clip_grad_norm_": "while training: a step that is skipped leaves "
    "no trace in buffers, and parameters with a rate of their own are not clipped",
    "espnet2.train.trainer.average_nbest_models": "with the first training: averages "
    "are plain means, written whole, under names that every release loads",
    "espnet2.tasks.abs_task.load_pretrained_model": "with the first training: "
    "--init_param is strict, and knows the names of all releases",
    "espnet2.tasks.abs_task.AbsTask.build_model_from_file": "while decoding: models "
    "are loaded whole, and run no code",
    "espnet2.bin.*": "while decoding: the class that decodes may choose the depth, and "
    "its decoders keep keys and values",
    "espnet3.components.callbacks.default_callbacks.AverageCheckpointsCallback.*": "in "
    "a training of espnet3 by our task: its averages never cross structures",
    "*.subsampling.*._load_from_state_dict": "with the first encoder: tensors are read "
    "under the names of all releases",
}
# what is added to, and why
ADDED: Dict[str, str] = {
    "encoder_choices of every task (registry.py)": "our encoders",
    "DATA_TYPES of espnet2.train.dataset and iterable_dataset (data/audio.py)": "audio "
    "that cannot be read is named",
    "the class of attention decoders (decoders/cached.py)": "in our commands that "
    "decode: they keep keys and values",
    "sys.meta_path (registry.py)": "encoders are added when a task is imported, and "
    "what ESPnet prints to stdout then goes to stderr",
    "sys.meta_path (with_registry.py)": "in an environment where --install has put a "
    "file for it: the same as soon as ESPnet is imported",
    "sys.meta_path (decoders/rnnt_loss.py)": "ESPnet's own transducer loss stands in "
    "where warprnnt_pytorch is missing",
}


def _check(owner: Any, name: str) -> None:
    """Refuse a change that is not listed above."""
    where = owner.__name__
    if not isinstance(owner, ModuleType):
        where = f"{owner.__module__}.{owner.__qualname__}"
    path = f"{where}.{name}"
    if not any(fnmatch.fnmatch(path, pattern) for pattern in TABLE):
        raise LookupError(f"{path} is not listed in {__name__}")


def replace(owner: Any, name: str, value: Any) -> None:
    """Replace an attribute of a module or class for good.

    Raises:
        LookupError: TABLE does not list it.
    """
    _check(owner, name)
    setattr(owner, name, value)


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[Any]:
    """Replace an attribute of a module or class; hand out what was there.

    Raises:
        LookupError: TABLE does not list it.
    """
    _check(owner, name)
    # as it is stored: a classmethod stays one
    stock = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield stock
    finally:
        setattr(owner, name, stock)
