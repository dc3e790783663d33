# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""What models are made of: one file per family of encoders, decoders, joint networks.

A family says which units a stack has, how often its weights are used, and what a cut
leaves behind; see `Family`. A new one is a file here and a line in `FAMILIES`.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Tuple

from torch import nn

from espnet_prune.families.base import Family, refuse_frontend
from espnet_prune.families.body import Body
from espnet_prune.families.branchformer import Branchformer, EBranchformer
from espnet_prune.families.conformer import Conformer
from espnet_prune.families.contextual_block import (
    ContextualBlockConformer,
    ContextualBlockTransformer,
)
from espnet_prune.families.decoder import Decoder
from espnet_prune.families.e_branchformer_ctc import EBranchformerCTC
from espnet_prune.families.front_ssl import FrontSSL
from espnet_prune.families.joint import Joint
from espnet_prune.families.multiconv_conformer import MultiConvConformer
from espnet_prune.families.transformer import Transformer
from espnet_prune.families.wav2vec2 import Wav2Vec2
from espnet_prune.structure import OTHERS, Stack, Structure
from espnet_prune.units.graph import Place, Unit, UnitGraph
from espnet_prune.units.pricing import price_of, rest_price
from espnet_prune.utils import UserError

# the first that fits
FAMILIES: Tuple[Family, ...] = (
    FrontSSL(),
    Wav2Vec2(),
    Body(),
    MultiConvConformer(),
    Conformer(),
    Transformer(),
    ContextualBlockConformer(),
    ContextualBlockTransformer(),
    EBranchformer(),
    EBranchformerCTC(),
    Branchformer(),
    Decoder(),
    Joint(),
)


def family_of(module: nn.Module) -> Optional[Family]:
    """Return the family of a stack, or None if nobody knows it."""
    return next((family for family in FAMILIES if family.fits(module)), None)


def family_named(name: str, stack: str = "encoder") -> Optional[Family]:
    """Return the family of a class as configurations call it, stock or pruned.

    Args:
        name: The class.
        stack: What it is.
    """
    own = [family for family in FAMILIES if family.stack == stack]
    return next((f for f in own if name in (f.stock, f.pruned)), None)


def name_in(config: Mapping[str, Any], stack: str = "encoder") -> str:
    """Return what a configuration calls the class of a stack, or what stands for it.

    Args:
        config: Content of config.yaml.
        stack: What it is.

    Raises:
        UserError: No family knows it.
    """
    own = [family for family in FAMILIES if family.stack == stack]
    found = [name for name in (f.named_in(config) for f in own) if name]
    if not found:
        given = config.get(own[0].key)
        raise UserError(f"{stack}: {given} has no pruning adapter")
    return found[0]


def stacks_of(root: nn.Module) -> Dict[str, Tuple[str, Family]]:
    """Return path and family of every stack in a model, by name.

    Args:
        root: A model of ESPnet, or a stack.

    Raises:
        UserError: It is no stack that we know, nor has it one.
    """
    refuse_frontend(root)
    family = family_of(root)
    if family is not None:
        return {family.stack: ("", family)}
    found = {}
    for attribute in dict.fromkeys(family.attribute for family in FAMILIES):
        module = getattr(root, attribute, None)
        family = family_of(module) if isinstance(module, nn.Module) else None
        if family is not None:
            found[family.stack] = (attribute, family)
    if found:
        return found
    kind = type(getattr(root, "encoder", root)).__name__
    known = [f.stock or f.pruned for f in FAMILIES if f.stack == "encoder"]
    raise UserError(
        f"{kind} has no pruning adapter; use one of these encoders: {', '.join(known)}"
    )


def unit_graph(root: nn.Module) -> UnitGraph:
    """List what can be removed from an encoder, or from all stacks of a model.

    Args:
        root: An encoder, decoder or joint network that a family knows, stock or already
            pruned; or a model of ESPnet with one.

    Raises:
        UserError: A class that no family knows.
    """
    units: List[Unit] = []
    stacks, places = {}, {}
    for name, (path, family) in stacks_of(root).items():
        module = root.get_submodule(path)
        parts = family.parts(module)
        # whose time the other stacks of a model share, but for a front end
        if "encoder" in stacks and not parts.clock.chain:
            clock = stacks["encoder"].price.clock
            shared = dict(samples=clock.samples, chain=clock.chain)
            parts.clock = dataclasses.replace(parts.clock, **shared)
        prefix = f"{path}." if path else ""
        units += [unit.inside(name, prefix) for unit in parts.units]
        places[name] = Place(family, path, parts.blocks_path, parts.input_size)
        stacks[name] = Stack(
            kept_blocks=list(parts.kept_blocks),
            blocks=parts.blocks,
            front=parts.front,
            names=parts.names,
            price=price_of(module, parts, name),
        )
    if "" not in [place.path for place in places.values()]:
        rest = rest_price(root, [place.path for place in places.values()], OTHERS)
        stacks[OTHERS] = Stack([], price=rest)
    return UnitGraph(units, Structure(stacks), places)


def whole_graph(model: nn.Module) -> UnitGraph:
    """Return the units of a model; of its encoder alone, where no more can be told.

    Args:
        model: A model of ESPnet.
    """
    try:
        return unit_graph(model)
    except UserError:  # a self-supervised frontend is beside the encoder
        return unit_graph(model.encoder)
