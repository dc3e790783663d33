# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The proof that a masked model and a cut one are the same function.

Both run in float64 on the weights that they have, so that what differs is the cut and
not the order of sums: in float32 a correct cut of a large encoder differs by more than
1e-5, and a small mistake by less. The measure is relative to the largest output, which
the gains of the last norm scale at will. What remains of a correct cut is the rounding
of the weights into which soft masks were folded, some 1e-7.
"""

import contextlib
import math
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence

import torch
from torch import nn

from espnet_prune.units import Masks, UnitGraph, masked
from espnet_prune.units.blocks import with_blocks
from espnet_prune.utils import UserError

TOLERANCE = 1e-6  # of the largest output, in float64


@contextlib.contextmanager
def in_float64(*modules: nn.Module) -> Iterator[None]:
    """Run modules in float64; afterwards they are as they were, bit by bit."""
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    kept = [(t, t.data) for t in tensors if t.is_floating_point()]
    try:
        for tensor, data in kept:
            tensor.data = data.double()
        yield
    finally:
        for tensor, data in kept:
            tensor.data = data


@torch.no_grad()
def compare(
    root: nn.Module,
    graph: UnitGraph,
    masks: Masks,
    small: nn.Module,
    trials: int = 8,
    seed: int = 0,
    ctc: Any = None,
    kept_blocks: Optional[Mapping[str, Sequence[int]]] = None,
) -> Dict[str, Any]:
    """Run both on random batches with random lengths and paddings, stack by stack.

    Blocks that `small` does not have are left out of the masked one too.

    Args:
        root: The dense encoder or model, without masks attached.
        graph: Its units.
        masks: The masks that `small` was cut by.
        small: The cut encoder or model.
        trials: Number of batches of 1 to 4 utterances.
        seed: Seed of lengths and features.
        ctc: CTC module of the model, for self-conditioned intermediate CTC.
        kept_blocks: Blocks of `small` by their numbers in the dense model, per stack;
            what it says itself by default, which a stock class cannot.

    Returns:
        {"max_abs_diff", "largest_output", "relative_diff": the largest share that a
        difference has of the largest output of its batch, "tolerance", "dtype",
        "finite": whether the masked one gives numbers at all, "equal", "batches":
        lengths tried}. Only frames inside an utterance are compared.
    """
    generator = torch.Generator().manual_seed(seed)
    modes = root.training, small.training
    root.eval(), small.eval()
    modules = [m for m in (root, small, ctc) if isinstance(m, nn.Module)]
    worst = share = largest = 0.0
    finite, batches = True, []
    with in_float64(*modules):
        for name, place in graph.places.items():
            whole, own = root.get_submodule(place.path), small.get_submodule(place.path)
            present = graph.dense[name].kept_blocks
            kept = (kept_blocks or {}).get(name, getattr(own, "kept_blocks", present))
            if place.blocks:
                positions = [present.index(block) for block in kept]
                whole = with_blocks(whole, positions, place.blocks)
            for trial in range(trials):
                inputs, lengths = place.family.draw(whole, place, generator, trial)
                batches.append(lengths)
                with masked(root, graph, masks):
                    wanted = place.family.run(whole, inputs, ctc)
                got = place.family.run(own, inputs, ctc)
                if wanted.shape != got.shape:
                    worst = share = math.inf
                    continue
                diff = float((wanted - got).abs().max())
                size = float(wanted.abs().max())
                finite = finite and math.isfinite(size)
                diff = diff if math.isfinite(diff) else math.inf
                worst, largest = max(worst, diff), max(largest, size)
                share = max(share, diff / size if size else diff)
    root.train(modes[0]), small.train(modes[1])
    return {
        "max_abs_diff": worst,
        "largest_output": largest,
        "relative_diff": share,
        "tolerance": TOLERANCE,
        "dtype": "float64",
        "finite": finite,
        "equal": finite and share <= TOLERANCE,
        "batches": batches,
    }


def require_equal(report: Dict[str, Any]) -> None:
    """Stop unless masked and cut agree.

    Raises:
        UserError: The masked encoder gives no numbers, or the two differ by more than
            the tolerance.
    """
    if not report["finite"]:
        raise UserError(
            "the masked encoder gives values that are not finite, so there is nothing "
            "to cut it by; nothing was written: select from a model that decodes"
        )
    if not report["equal"]:
        raise UserError(
            f"masked and cut encoder differ by {report['relative_diff']:.1e} of the "
            f"largest output (tolerance {report['tolerance']:.0e}); nothing was written"
        )
