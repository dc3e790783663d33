# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Write a cut encoder, decoder or joint network as a stock class where it fits one."""

from typing import Any, Dict, Mapping, Tuple

from espnet_prune.families import family_named, name_in
from espnet_prune.structure import Structure
from espnet_prune.utils import UserError


def stack_config(
    name: str,
    conf: Mapping[str, Any],
    dense: Structure,
    kept: Structure,
    stack: str = "encoder",
) -> Tuple[str, Dict[str, Any]]:
    """Return, for instance, `encoder` and `encoder_conf` that rebuild a Structure.

    A model that is written as a stock class loads in any ESPnet without this package;
    its family says which shapes that class can have.

    Args:
        name: Class of the stack in the dense config.
        conf: Its arguments there.
        dense: Structure of the model that `conf` builds.
        kept: Structure of the cut model.
        stack: Which stack.

    Returns:
        Class name and arguments.

    Raises:
        UserError: No family knows the class.
    """
    family = family_named(name, stack)
    if family is None:
        raise UserError(f"{stack}: {name} has no pruning adapter")
    before, own = dense[stack], kept[stack]
    if family.stock:
        found = family.stock_conf(conf, before, own)
        if found is not None:
            return family.stock, found
    return family.pruned, family.pruned_conf(conf, own)


def stack_configs(
    config: Mapping[str, Any], dense: Structure, kept: Structure
) -> Dict[str, Any]:
    """Return the keys of config.yaml that rebuild all stacks of a Structure.

    Args:
        config: config.yaml of the dense model.
        dense: Structure of what was cut, before.
        kept: Structure of it now.

    Raises:
        UserError: No family knows a class.
    """
    found: Dict[str, Any] = {}
    for stack in kept.own:
        name = name_in(config, stack)
        family = family_named(name, stack)
        key = family.conf_key(config)
        own = config.get(key) or {}
        name, found[key] = stack_config(name, own, dense, kept, stack)
        if family.key in config:
            found[family.key] = name
    return found
