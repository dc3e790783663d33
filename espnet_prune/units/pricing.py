# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Derive what the units of a stack cost from its tensors.

The entries of a tensor are the product of its dimensions, and every dimension is the
sum of what units own of it and a rest. Everything inside a module that can go is there
as often as the module, 0 or 1 times. So the parameters of a stack are a polynomial in
the numbers of units. Its MACs are the entries of the weights of matrix products and
convolutions times how often they are used, and what units cost beside their weights.

Counted are matrix products and convolutions. Softmax, norms, activations, biases and
embeddings are not, as in torch.utils.flop_counter on the math attention path.
"""

import dataclasses
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.price import FRAME, Clock, Price, Term, merged
from espnet_prune.structure import Names
from espnet_prune.units.graph import Unit

WEIGHED = (nn.Linear, nn.Conv1d, nn.Conv2d)  # layers whose weights make MACs
FRONT, BLOCKS = "front", "blocks"  # parts of an encoder

_Product = Tuple[int, Tuple[str, ...]]  # coefficient, units that are multiplied


@dataclasses.dataclass
class Parts:
    """What a family says of a stack; paths and names are those inside the stack.

    Attributes:
        units: Its units; a module's unit stands before its parts.
        blocks: Counts of every kind of unit, one per block; 0 for an absent module.
        front: Counts of what stands before the blocks.
        names: Of kinds whose units have names, those of every block.
        blocks_path: Path of the list of blocks; "" for a stack without blocks.
        kept_blocks: Names of the blocks.
        input_size: Width of the input.
        clock: How often weights are used.
        uses: For the path of a Linear or a convolution that is not used once per frame,
            its use; None if it makes no MACs of its own.
        extra: What is paid beside the weights and belongs to no unit.
        front_paths: What makes up the part "front"; empty where no unit is in it.
        tensors: Tensors whose parameters are in `extra` already.
    """

    units: List[Unit]
    blocks: Dict[str, List[int]]
    front: Dict[str, List[int]] = dataclasses.field(default_factory=dict)
    names: Names = dataclasses.field(default_factory=dict)
    blocks_path: str = ""
    kept_blocks: List[int] = dataclasses.field(default_factory=list)
    input_size: int = 0
    clock: Clock = Clock()
    uses: Dict[str, Optional[str]] = dataclasses.field(default_factory=dict)
    extra: List[Term] = dataclasses.field(default_factory=list)
    front_paths: Tuple[str, ...] = ()
    tensors: Tuple[str, ...] = ()


def price_of(module: nn.Module, parts: Parts, stack: str = "encoder") -> Price:
    """Return the price of a stack.

    Args:
        module: The stack.
        parts: What its family says of it.
        stack: Its name; vectors and parts of others than the encoder are called by it.
    """
    entries = _Entries(parts)
    terms = []
    for name, parameter in module.named_parameters():
        if name not in parts.tensors:
            for number, units in entries.products(name, parameter.shape):
                terms.append(entries.term(name, number, (), units))
    for name, buffer in module.state_dict(keep_vars=True).items():
        if not isinstance(buffer, nn.Parameter):
            for number, units in entries.products(name, buffer.shape):
                term = entries.term(name, 0, (), units)
                size = number * buffer.element_size()
                terms.append(dataclasses.replace(term, stored=size))
    for name, layer in module.named_modules():
        use = parts.uses.get(name, FRAME)
        if isinstance(layer, WEIGHED) and use is not None:
            for number, units in entries.products(f"{name}.weight", layer.weight.shape):
                terms.append(entries.term(name, 0, ((use, number),), units))
    for unit in parts.units:
        part = entries.part(unit.point.module)
        for term in unit.extra:
            terms.append(dataclasses.replace(term, part=part, block=unit.block))
    terms += parts.extra
    names = {unit.name: unit.name for unit in parts.units}
    if stack != "encoder":
        names = {name: f"{stack}.{name}" for name in names}
        terms = [dataclasses.replace(term, part=stack) for term in terms]
    return Price(
        vectors={names[unit.name]: unit.vector() for unit in parts.units},
        terms=tuple(
            dataclasses.replace(term, units=tuple(names[n] for n in term.units))
            for term in merged(terms)
        ),
        clock=parts.clock,
        kept_blocks=tuple(parts.kept_blocks),
        named=tuple(parts.names),
    )


def rest_price(root: nn.Module, places: Sequence[str], part: str) -> Price:
    """Return the price of what is in no stack of a model: parameters and buffers.

    Args:
        root: The model.
        places: Paths of its stacks.
        part: Name of the part that pays.
    """
    inside = tuple(f"{path}." for path in places)
    parameters = dict(root.named_parameters())
    params = stored = 0
    for name, tensor in root.state_dict(keep_vars=True).items():
        if name.startswith(inside):
            continue
        if name in parameters:
            params += tensor.numel()
        elif not isinstance(tensor, nn.Parameter):  # another name of one
            stored += tensor.numel() * tensor.element_size()
    return Price({}, (Term(params, part=part, stored=stored),))


class _Entries:
    """Writes the number of entries of a tensor as a polynomial.

    Args:
        parts: What a family says of a stack.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._owners: Dict[Tuple[str, int], List[Tuple[str, int, int]]] = {}
        self._modules: List[Tuple[str, str]] = []
        for unit in parts.units:
            for piece in unit.producers + unit.consumers:
                owned = (unit.name, unit.size, piece.group)
                self._owners.setdefault((piece.tensor, piece.dim), []).append(owned)
            if unit.kind == "module":
                self._modules.append((f"{unit.path}.", unit.name))
                if unit.norm:
                    self._modules.append((f"{unit.norm}.", unit.name))

    def products(self, tensor: str, shape: torch.Size) -> List[_Product]:
        """Return the number of entries of a tensor as a sum of products."""
        inside = [name for path, name in self._modules if tensor.startswith(path)]
        products: List[_Product] = [(1, tuple(inside))]
        for dim, size in enumerate(shape):
            owned: Dict[str, int] = {}
            for name, number, group in self._owners.get((tensor, dim), ()):
                owned[name] = owned.get(name, 0) + group
                size -= number * group
            factors = [(size, ())] if size else []
            factors += [(group, (name,)) for name, group in owned.items()]
            products = [
                (number * factor, (*units, *more))
                for number, units in products
                for factor, more in factors
            ]
        return products

    def term(
        self,
        path: str,
        params: int,
        macs: Tuple[Tuple[str, int], ...],
        units: Tuple[str, ...],
    ) -> Term:
        """Return a term of what is at a path."""
        return Term(params, macs, units, self.part(path), self.block(path))

    def part(self, path: str) -> str:
        """Return the part of an encoder that something belongs to."""
        fronts = self.parts.front_paths
        inside = any(f"{path}.".startswith(f"{front}.") for front in fronts)
        return FRONT if inside else BLOCKS

    def block(self, path: str) -> Optional[int]:
        """Return the position of the block that something is in, if it is in one."""
        start = f"{self.parts.blocks_path}."
        if not self.parts.blocks_path or not path.startswith(start):
            return None
        return int(path[len(start) :].partition(".")[0])


def extra(units: Sequence[str], params: int = 0, **macs: int) -> Term:
    """Return what units cost beside their weights.

    Args:
        units: Names of the vectors whose numbers are multiplied.
        params: Parameters.
        **macs: MACs at each use.
    """
    return Term(params, tuple(macs.items()), tuple(units))
