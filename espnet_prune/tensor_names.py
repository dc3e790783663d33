# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Names of tensors that ESPnet's releases write differently.

Releases up to 202511 keep the Linear of a subsampling and the positional encoding
behind it in a Sequential: `embed.out.0.weight`, `embed.out.1.*`. From 202609 on they
are `embed.out.weight` and `embed.pos_enc.*`; Conv2dSubsampling8 was always so. Newer
releases read old names, but `--init_param` of theirs loses them without a word; older
ones know no new names and leave a random front end, also without a word.
"""

import re
from typing import Any, Collection, Dict, Mapping

_OLD_TO_NEW = (
    (re.compile(r"\bout\.0\.(weight|bias)$"), r"out.\1"),
    (re.compile(r"\bout\.1\."), "pos_enc."),
    # before December 2022, as ESPnet's own loader renames it
    (re.compile(r"^frontend\.upstream\.model\."), "frontend.upstream.upstream.model."),
)
_NEW_TO_OLD = (
    (re.compile(r"\bout\.(weight|bias)$"), r"out.0.\1"),
    (re.compile(r"\bpos_enc\."), "out.1."),
)

# classes of ESPnet whose tensors have other names from 202609 on
SUBSAMPLINGS = (
    *(f"Conv1dSubsampling{n}" for n in (1, 2, 3)),
    *(f"Conv2dSubsampling{n}" for n in ("", 1, 2, 6)),
)


def name_here(key: str, own: Collection[str]) -> str:
    """Return the name that a model here has for a tensor of any release.

    Args:
        key: The tensor's name.
        own: Names in the model; if none of them fits, `key` is returned.
    """
    if key in own:
        return key
    others = (pattern.sub(name, key) for pattern, name in _OLD_TO_NEW + _NEW_TO_OLD)
    return next((other for other in others if other in own), key)


def as_here(state: Mapping[str, Any], own: Collection[str]) -> Dict[str, Any]:
    """Give the tensors of any release the names that a model here has for them.

    Args:
        state: A state dict of any release; its order is kept. Where it has both names
            of a tensor, they stay as they are.
        own: Names of the tensors in the model that it is for.
    """
    renamed = {}
    for key, value in state.items():
        name = name_here(key, own)
        renamed[key if name in state else name] = value
    return renamed


def as_written(model: Any, state: Mapping[str, Any]) -> Dict[str, Any]:
    """Give tensors the names that every release of ESPnet loads: the old ones.

    Args:
        model: The model that the tensors are of.
        state: Its state dict, under the names of any release; its order is kept.
    """
    prefixes = tuple(
        f"{name}." if name else ""
        for name, module in model.named_modules()
        if any(kind.__name__ in SUBSAMPLINGS for kind in type(module).__mro__)
    )
    renamed = {}
    for key, value in state.items():
        prefix = next((p for p in prefixes if key.startswith(p)), None)
        if prefix is not None:
            rest = key[len(prefix) :]
            for pattern, name in _NEW_TO_OLD:
                rest = pattern.sub(name, rest, count=1) if pattern.match(rest) else rest
            key = prefix + rest
        renamed[key] = value
    return renamed
