# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Read the weights of a checkpoint, in whatever form it comes; no code of it is run.

Training loops leave more than weights, or weights within something: the state of the
trainer around them, the name of a wrapper before every key. What is around them is
taken off where there is one way to do so, and named where there is not.
"""

import logging
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping

import torch

from espnet_prune.utils import PathLike, UserError, load_tensors

State = Dict[str, torch.Tensor]

# torch.compile, FSDP and activation checkpointing write these anywhere in a name
_WRAPPERS = re.compile(
    r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
# DistributedDataParallel and Lightning write these before every name
_OUTER = re.compile(r"(module|model)\.")


def read_weights(path: PathLike) -> State:
    """Read the weights of a checkpoint: tensors by the names that they have in a model.

    Taken off are the state of a trainer around them, if one entry of the file holds
    tensors only, and the names of `DistributedDataParallel`, Lightning and
    `torch.compile` in the keys. What is in half precision becomes float32, so that it
    can be averaged and compared like all others.

    Args:
        path: A .pth, .pt, .bin or .safetensors file.

    Raises:
        UserError: See `load_tensors`; or several entries hold tensors, or none does.
    """
    path = Path(path)
    if path.suffix == ".safetensors" and path.is_file():
        return unprefixed(read_safetensors(path))
    return unprefixed(upcast(_unwrapped(load_tensors(path), path)))


def upcast(state: Mapping[str, torch.Tensor]) -> State:
    """Bring half precision to float32, every value as it is."""
    halves = (torch.float16, torch.bfloat16)
    return {k: v.float() if v.dtype in halves else v for k, v in state.items()}


def _unwrapped(content: Mapping[str, Any], path: Path) -> Mapping[str, torch.Tensor]:
    """Find the tensors in the content of a checkpoint."""
    around: List[str] = []
    while True:
        tensors = {k: v for k, v in content.items() if torch.is_tensor(v)}
        inner = [k for k, v in content.items() if _is_state(v)]
        if tensors and not inner:
            break
        name = "/".join(around)
        if not tensors and not inner:
            raise UserError(
                f"{path}: there are no weights in "
                f"{f'its entry {name}' if name else 'it'}; give another checkpoint"
            )
        if tensors or len(inner) > 1:
            beside = ", ".join([*map(str, inner), *(["tensors"] if tensors else [])])
            raise UserError(
                f"{path}: weights are in several entries{f' of {name}' if name else ''}"
                f" ({beside}); save the one that you want alone to a new file: "
                f'torch.save(torch.load(FILE)["{inner[0]}"], NEW_FILE)'
            )
        around.append(str(inner[0]))
        content = content[inner[0]]
    rest = [str(key) for key in content if key not in tensors]
    if around:
        logging.info(f"{path}: the weights are its entry {'/'.join(around)}")
    if rest:
        logging.warning(f"{path}: left out, no tensors: {', '.join(rest[:5])}")
    return tensors


def _is_state(value: Any) -> bool:
    """Say whether an entry is weights: tensors, or one more entry around them."""
    if not isinstance(value, Mapping) or not value:
        return False
    if all(torch.is_tensor(v) for v in value.values()):
        return all(isinstance(key, str) for key in value)
    names = [key for key in value if key in ("state_dict", "model", "module")]
    return len(names) == 1 and _is_state(value[names[0]])


def unprefixed(state: Mapping[str, Any]) -> Dict[str, Any]:
    """Take the names of wrappers off keys: `module.`, `model.`, `_orig_mod.`.

    The first two are taken off only where all keys begin so.
    """
    state = {_WRAPPERS.sub("", key): value for key, value in state.items()}
    while state and _common_prefix(state):
        prefix = _common_prefix(state)
        state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _common_prefix(keys: Iterable[str]) -> str:
    found = {match[0] if match else "" for match in map(_OUTER.match, keys)}
    return found.pop() if len(found) == 1 else ""


def read_safetensors(path: Path) -> State:
    """Read a .safetensors file; numbers with a point become float32.

    Raises:
        UserError: The file is truncated or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a readable .safetensors file of numbers ({error}); "
            "download it again"
        ) from error
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def without_adapters(state: Mapping[str, Any], source: str) -> Dict[str, Any]:
    """Leave LoRA's matrices out: ESPnet has added them to the weights when it saved.

    loralib adds them when a model is put into eval mode, which ESPnet does before it
    saves an epoch and before it loads one. So the weights are used as they stand.

    Args:
        state: A state dict.
        source: Where it is from, for the note.

    Raises:
        UserError: The weights that the matrices were added to are not there.
    """
    found = sorted(key for key in state if re.search(r"\.lora_[AB]$", key))
    if not found:
        return dict(state)
    for key in found:
        if f"{key[:-len('lora_A')]}weight" not in state:
            raise UserError(
                f"{source}: holds the adapter {key} without the weights that it is "
                "for; merge the adapters with their base model, and give the result"
            )
    logging.warning(
        f"{source}: the weights have their LoRA adapters added already, as ESPnet "
        f"saves them; {len(found)} matrices of adapters are left out"
    )
    return {key: value for key, value in state.items() if key not in found}


def part_name(name: str, keys: Iterable[str]) -> str:
    """Return the name of a part as `read_weights` has it, given as it is in the file.

    Args:
        name: Beginning of keys in the file, such as module.encoder.
        keys: Names of the tensors that were read.
    """
    if not name or any(key.startswith(name) for key in keys):
        return name
    return next(iter(unprefixed({f"{name}.": 0}))).rstrip(".")
