# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""One reader of what people write: mappings of known keys and values of known types."""

import dataclasses
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    Tuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import UserError, check_keys

_NAMES = {
    bool: "true or false",
    dict: "a mapping of keys to values",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    type(None): "null",
}


def fits(kind: Any, value: Any) -> bool:
    """Say whether a value from YAML or JSON is of a type, as annotations write types.

    Lists are tuples there, whole numbers are numbers, and true is neither.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Union:
        return any(fits(one, value) for one in inner)
    if origin in (list, tuple) and origin and isinstance(value, (list, tuple)):
        if origin is tuple and inner[-1] is not Ellipsis:
            same = len(inner) == len(value)
            return same and all(fits(k, v) for k, v in zip(inner, value))
        return not inner or all(fits(inner[0], v) for v in value)
    if origin in (dict, Mapping) or kind is dict:
        return isinstance(value, Mapping)
    if origin is not None:
        return isinstance(value, origin)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def described(kind: Any) -> str:
    """Say in words what type is wanted."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Union:
        return " or ".join(described(one) for one in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return "a list of " + ", ".join(described(one) for one in inner)
    if origin in (list, tuple):
        return f"a list, each {described(inner[0])}" if inner else "a list"
    return _NAMES.get(origin or kind, str(kind))


def mapping(data: Any, where: str) -> Mapping[str, Any]:
    """Return `data` if it is a mapping; nothing at all is an empty one.

    Raises:
        UserError: It is something else.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise UserError(f"{where} is {data!r}, must be a mapping of keys to values")
    return data


def check_types(data: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> None:
    """Compare values with types.

    Args:
        data: What was read.
        kinds: Type of every key, as annotations write it; other keys are not looked at.
        where: File and key, with which the sentence begins.

    Raises:
        UserError: A value is of another type; key, value and type are named.
    """
    for key, value in data.items():
        if key in kinds and not fits(kinds[key], value):
            raise UserError(
                f"{where}: {key} is {value!r}, must be {described(kinds[key])}"
            )


def read_as(cls: Any, data: Any, where: str) -> Dict[str, Any]:
    """Return the arguments of a dataclass from what was read.

    Args:
        cls: The dataclass; its annotations are the types.
        data: What was read.
        where: File and key, with which the sentence begins.

    Raises:
        UserError: No mapping, an unknown key (the nearest is named), one that is
            missing, or a value of another type.
    """
    data = dict(mapping(data, where))
    fields: List[Tuple[str, bool]] = [
        (field.name, _is_required(field)) for field in dataclasses.fields(cls)
    ]
    check_keys(data, [name for name, _ in fields], where)
    for name, required in fields:
        if required and name not in data:
            raise UserError(f"{where}: key '{name}' is missing")
    check_types(data, get_type_hints(cls), where)
    return data


def _is_required(field: Any) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing
