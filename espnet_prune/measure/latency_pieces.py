# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Pieces of an encoder that tell what its units take: which structures are timed.

They are encoders of one block at random widths with next to nothing in front, front
ends at random widths with next to nothing behind, some of next to nothing, and the
dense encoder. Every row of a table is in some of them, and none always with another.
Beside all of them stands one narrow block that has every module: positions and masks
are made once, however many blocks read them, and must not be taken for their overhead.
"""

import random
from typing import Any, Dict, List, Mapping

from torch import nn

from espnet_prune.measure.cost import WHOLE
from espnet_prune.measure.latency_fit import at_widths
from espnet_prune.structure import Stack, Structure

DENSE = "dense"
LITTLE = 8  # channels of a front end that should take next to nothing
NARROW = 32  # this part of a module is as good as none
SOME = 6  # blocks that show together what is too little to be seen in one
ABSENT = 0.3  # of the modules of random pieces


def pieces_of(
    encoder: nn.Module, dense: Structure, rng: random.Random, round_to: int = 1
) -> Dict[str, Structure]:
    """Draw what is timed: structures of an encoder by name, the dense one last.

    Args:
        encoder: The dense encoder.
        dense: Its structure.
        rng: What draws.
        round_to: Numbers of units are multiples of it, where there are more.
    """
    stack, found = dense[WHOLE], {}
    least = [stack.least(field) for field in stack.blocks]
    little = {f: [min(LITTLE, n) for n in counts] for f, counts in stack.front.items()}

    def narrow(place: int) -> List[int]:
        return [n and max(1, n // NARROW) for n in _at(stack, place)]

    order = sorted(range(len(stack.kept_blocks)), key=lambda b: _modules(stack, b))
    # whatever is done once for all modules of a kind is in every piece
    anchor = {order[-1]: narrow(order[-1])}
    others = order[:-1] or order

    def share(n: int) -> int:
        step = round_to if n > round_to else 1
        return min(n, step * max(1, round(n / step * rng.uniform(0.05, 1.0))))

    def add(name: str, front: Mapping[str, Any], own: Mapping[int, List[int]]) -> None:
        own = {**anchor, **own}
        kept = sorted({*_needed(encoder, dense), *(stack.kept_blocks[b] for b in own)})
        places = [stack.kept_blocks.index(block) for block in kept]
        widths: Dict[str, Any] = {
            field: [own.get(b, least)[k] for b in places]
            for k, field in enumerate(stack.blocks)
        }
        found[name] = at_widths(dense, {"kept_blocks": kept, **widths, **front})

    vectors = sum(map(len, stack.front.values()))
    for i in range(min(4 + 4 * vectors, 16) if vectors else 0):
        wide = {f: [share(n) if i else n for n in c] for f, c in stack.front.items()}
        add(f"front_{i}", wide, {})
    for i in range(2 * len(least) + 5):
        # first with all modules, then without one of them, then as it comes
        drawn = i > len(least)
        place = rng.choice(others) if drawn else others[-1]
        removed = [
            rng.random() < ABSENT if drawn else k == i - 1 for k, _ in enumerate(least)
        ]
        own = [
            0 if not n or (removed[k] and not least[k]) else share(n) if i else n
            for k, n in enumerate(_at(stack, place))
        ]
        add(f"block_{i}", little, {place: own})
    # what a module takes however narrow it is, and a block without any
    some = others[-SOME:]
    for k, _ in enumerate(least):
        own = {b: least[:k] + narrow(b)[k : k + 1] + least[k + 1 :] for b in some}
        add(f"narrow_{k}", little, own)
    add("blocks_1", little, {others[-1]: least})
    add("blocks_some", little, {b: least for b in some})
    found[DENSE] = at_widths(dense, stack.widths())
    return found


def least_blocks(encoder: nn.Module, dense: Structure) -> Dict[str, Any]:
    """Return widths of blocks that take next to nothing; none can be left out."""
    stack = dense[WHOLE]
    kept = sorted({*_needed(encoder, dense), *stack.kept_blocks[-1:]})
    least = {field: [stack.least(field)] * len(kept) for field in stack.blocks}
    return {"kept_blocks": kept, **least}


def conditioned(encoder: nn.Module) -> bool:
    """Say whether blocks read what CTC says of those before."""
    return bool(getattr(encoder, "interctc_use_conditioning", False))


def _needed(encoder: nn.Module, dense: Structure) -> List[int]:
    """Return the blocks beside taps that others are conditioned on: they stay."""
    names = dense[WHOLE].kept_blocks
    if not conditioned(encoder):
        return []
    return [names[tap - 1] for tap in encoder.interctc_layer_idx] + names[-1:]


def _at(stack: Stack, place: int) -> List[int]:
    """Return how many units each kind has in the block at a place."""
    return [counts[place] for counts in stack.blocks.values()]


def _modules(stack: Stack, place: int) -> int:
    return sum(n > 0 for n in _at(stack, place))
