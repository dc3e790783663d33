# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""ESPnet's decoding with attention decoders that keep their keys and values."""

from typing import Any

from espnet_prune.decoders.cached import cache_decoders
from espnet_prune.tasks import Task


class Caching:
    """What makes the decoders of ESPnet's `Speech2Text` keep keys and values.

    Args:
        *args: Arguments of `Speech2Text`.
        cached_decoding: Whether they do.
        **kwargs: More of them.
    """

    task: Task

    def __init__(self, *args: Any, cached_decoding: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if cached_decoding:
            cache_decoders(getattr(self, f"{self.task.prefix_in(self)}_model"))


def caching(task: Task) -> Any:
    """Return ESPnet's class that decodes for a task, with `Caching`."""
    stock = getattr(task.decoding_module(), task.decoder)
    return type(f"Caching{task.decoder}", (Caching, stock), {"task": task})
