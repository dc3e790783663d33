# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The proof that a masked encoder and a cut one are the same function.

Both run in float64 on the weights that they have, so that what differs is the cut and
not the order of sums: in float32 a correct cut of a large encoder differs by more than
1e-5, and a small mistake by less. The measure is relative to the largest output, which
the gains of the last norm scale at will. What remains of a correct cut is the rounding
of the weights into which soft masks were folded, some 1e-7.
"""

import contextlib
import inspect
import math
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from torch import nn

from espnet_prune.units import Masks, UnitGraph, masked
from espnet_prune.units.blocks import with_blocks
from espnet_prune.utils import UserError

TOLERANCE = 1e-6  # of the largest output, in float64


def random_batch(encoder: nn.Module, size: int, lengths: List[int], seed: int) -> Any:
    """Return random input (N, T, input_size), zero after each utterance's length.

    T counts features, or samples for an encoder of raw speech.
    """
    generator = torch.Generator().manual_seed(seed)
    # a Branchformer's `embed` may be None
    modules = [] if encoder.embed is None else list(encoder.embed.modules())
    table = next((m for m in modules if isinstance(m, nn.Embedding)), None)
    if table is not None:
        shape = (len(lengths), max(lengths))
        x = torch.randint(table.num_embeddings, shape, generator=generator)
    else:
        x = torch.randn(len(lengths), max(lengths), size, generator=generator)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    return x, torch.tensor(lengths)


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


def _hidden(output: Any) -> torch.Tensor:
    """Return the encoder output alone; intermediate CTC outputs may come along."""
    return output[0] if isinstance(output, tuple) else output


@torch.no_grad()
def compare(
    encoder: nn.Module,
    graph: UnitGraph,
    masks: Masks,
    small: nn.Module,
    trials: int = 8,
    seed: int = 0,
    ctc: Any = None,
    kept_blocks: Optional[Sequence[int]] = None,
) -> Dict[str, Any]:
    """Run both on random batches with random lengths and paddings.

    Blocks that `small` does not have are left out of the masked encoder too.

    Args:
        encoder: The dense encoder, without masks attached.
        graph: Its units.
        masks: The masks that `small` was cut by.
        small: The cut encoder.
        trials: Number of batches of 1 to 4 utterances.
        seed: Seed of lengths and features.
        ctc: CTC module of the model, for self-conditioned intermediate CTC.
        kept_blocks: Blocks of `small` by their numbers in the dense model; what it
            says itself by default, which a stock class cannot.

    Returns:
        {"max_abs_diff", "largest_output", "relative_diff": the largest share that a
        difference has of the largest output of its batch, "tolerance", "dtype",
        "finite": whether the masked encoder gives numbers at all, "equal", "batches":
        lengths tried}. Only frames inside an utterance are compared.
    """
    generator = torch.Generator().manual_seed(seed)
    modes = encoder.training, small.training
    encoder.eval(), small.eval()
    present = graph.dense.kept_blocks
    if kept_blocks is None:
        kept_blocks = getattr(small, "kept_blocks", present)
    kept = [present.index(block) for block in kept_blocks]
    whole = with_blocks(encoder, kept)
    # a Branchformer has no intermediate CTC
    knows_ctc = "ctc" in inspect.signature(encoder.forward).parameters
    more = {"ctc": ctc} if knows_ctc else {}
    modules = [m for m in (encoder, small, ctc) if isinstance(m, nn.Module)]
    worst = share = largest = 0.0
    finite, batches, dims = True, [], graph.dense.dims
    least, most = 20 * dims.frame_samples, 180 * dims.frame_samples
    with in_float64(*modules):
        for trial in range(trials):
            count = 1 + trial % 4
            lengths = torch.randint(least, most, (count,), generator=generator).tolist()
            batches.append(lengths)
            x, lens = random_batch(encoder, dims.input_size, lengths, trial)
            x = x.double() if x.is_floating_point() else x
            with masked(encoder, graph, masks):
                expected, olens, _ = whole(x, lens, **more)
            got, small_olens, _ = small(x, lens, **more)
            if not torch.equal(olens, small_olens):
                worst = share = math.inf
                continue
            real = torch.arange(int(olens.max())) < olens[:, None]
            wanted = _hidden(expected)[:, : real.size(1)][real]
            diff = float((wanted - _hidden(got)[:, : real.size(1)][real]).abs().max())
            size = float(wanted.abs().max())
            finite = finite and math.isfinite(size)
            diff = diff if math.isfinite(diff) else math.inf
            worst, largest = max(worst, diff), max(largest, size)
            share = max(share, diff / size if size else diff)
    encoder.train(modes[0]), small.train(modes[1])
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
