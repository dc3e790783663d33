# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""The proof that a masked encoder and a cut one are the same function."""

import inspect
from typing import Any, Dict, List

import torch
from torch import nn

from espnet_prune.units import Masks, UnitGraph, masked
from espnet_prune.units.blocks import with_blocks
from espnet_prune.utils import UserError

TOLERANCE = 1e-5  # fp32, on outputs of order one


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


@torch.no_grad()
def compare(
    encoder: nn.Module,
    graph: UnitGraph,
    masks: Masks,
    small: nn.Module,
    trials: int = 8,
    seed: int = 0,
    ctc: Any = None,
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

    Returns:
        {"max_abs_diff", "tolerance", "equal", "batches": lengths tried}. Only frames
        inside an utterance are compared.
    """
    generator = torch.Generator().manual_seed(seed)
    modes = encoder.training, small.training
    encoder.eval(), small.eval()
    present = graph.dense.kept_blocks
    kept = [present.index(block) for block in getattr(small, "kept_blocks", present)]
    whole = with_blocks(encoder, kept)
    # a Branchformer has no intermediate CTC
    knows_ctc = "ctc" in inspect.signature(encoder.forward).parameters
    more = {"ctc": ctc} if knows_ctc else {}
    worst, batches, dims = 0.0, [], graph.dense.dims
    least, most = 20 * dims.frame_samples, 180 * dims.frame_samples
    for trial in range(trials):
        count = 1 + trial % 4
        lengths = torch.randint(least, most, (count,), generator=generator).tolist()
        x, lens = random_batch(encoder, dims.input_size, lengths, trial)
        with masked(encoder, graph, masks):
            expected, olens, _ = whole(x, lens, **more)
        got, small_olens, _ = small(x, lens, **more)
        # intermediate CTC outputs may come along
        expected = expected[0] if isinstance(expected, tuple) else expected
        got = got[0] if isinstance(got, tuple) else got
        if not torch.equal(olens, small_olens):
            worst = float("inf")
        for row, length in enumerate(olens.tolist()):
            diff = (expected[row, :length] - got[row, :length]).abs().max()
            worst = max(worst, float(diff)) if diff == diff else float("inf")
        batches.append(lengths)
    encoder.train(modes[0]), small.train(modes[1])
    return {
        "max_abs_diff": worst,
        "tolerance": TOLERANCE,
        "equal": worst <= TOLERANCE,
        "batches": batches,
    }


def require_equal(report: Dict[str, Any]) -> None:
    """Stop unless masked and cut agree.

    Raises:
        UserError: They differ by more than the tolerance.
    """
    if not report["equal"]:
        raise UserError(
            f"masked and cut encoder differ by {report['max_abs_diff']:.2e} "
            f"(tolerance {report['tolerance']:.0e}); nothing was written"
        )
