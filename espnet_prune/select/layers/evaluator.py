# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rate of a model without some of its blocks, on a fixed labelled subset.

Greedy CTC over batches of utterances of one length, so that there is no padding. Hidden
states are kept by the blocks that led to them: a set of blocks is run only from where
it first differs from what is there.
"""

from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from espnet_prune.models import encoded
from espnet_prune.progress import progress
from espnet_prune.select.layers.coarse import Removed
from espnet_prune.select.layers.dev_data import Batch
from espnet_prune.select.layers.fan_out import FanOut
from espnet_prune.select.layers.tried import Tried
from espnet_prune.units.blocks import BlockRunner, State, check_blocks, kept_after


class Result(NamedTuple):
    """Error rate (a fraction) and loss per utterance; the loss breaks ties."""

    error: float
    loss: float


class Evaluator:
    """Evaluates removal sets, and counts what that costs.

    Args:
        model: An `ESPnetASRModel`, on the device where it is to run; it is put into
            eval mode.
        batches: The labelled subset, see `dev_data.load_batches`.
        tried: Results that are there already, and the file they are added to.
        cache_bytes: Memory for hidden states, of all batches together.
        fan_out: Evaluates many sets elsewhere, see `FanOut`.

    Attributes:
        evaluations: Different sets that were asked for since `restart`.
        blocks_run: Blocks run, counted per batch.
        blocks_naive: Blocks that would have run without the cache.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        batches: Sequence[Batch],
        tried: Optional[Tried] = None,
        cache_bytes: int = 2 << 30,
        fan_out: Optional[FanOut] = None,
    ) -> None:
        self.model = model.eval()
        device = next(model.parameters()).device
        self.batches = [batch.to(device) for batch in batches]
        self.tried = Tried() if tried is None else tried
        self.fan_out = fan_out
        self.blocks_run = self.blocks_naive = 0
        self._prepare(cache_bytes)
        self.restart()

    def _prepare(self, cache_bytes: int) -> None:
        """Make what runs the blocks, and room for what is kept."""
        self.runner = BlockRunner(self.model.encoder, self.model.ctc)
        # every batch gets memory by its size
        samples = [batch.speech.numel() for batch in self.batches]
        self.limits = [cache_bytes * n // sum(samples) for n in samples]
        self.caches: List["OrderedDict[Tuple[int, ...], State]"] = [
            OrderedDict() for _ in self.batches
        ]

    @property
    def number(self) -> int:
        """Number of blocks."""
        return len(self.runner)

    @property
    def evaluations(self) -> int:
        """Different removal sets that were asked for since `restart`."""
        return len(self._asked)

    def restart(self) -> None:
        """Begin to count the evaluations of another search."""
        self._asked: Dict[Removed, None] = {}

    def __call__(self, removed: Sequence[int]) -> Result:
        """Evaluate one removal set, block numbers 1-based."""
        return self.evaluate([removed])[0]

    def evaluate(self, sets: Sequence[Sequence[int]]) -> List[Result]:
        """Evaluate removal sets; what was tried before is not run again.

        Args:
            sets: Block numbers, 1-based; an empty set is the whole model.

        Returns:
            One result per set, in the order given.

        Raises:
            UserError: A block number that the model does not have.
        """
        wanted = [
            tuple(check_blocks(removed, self.number, "removed")) for removed in sets
        ]
        self._asked.update(dict.fromkeys(wanted))
        new = [r for r in dict.fromkeys(wanted) if r not in self.tried]
        # neighbours in this order share the longest prefixes
        new.sort(key=lambda removed: kept_after(removed, self.number))
        if self.fan_out is not None and len(new) > 1:
            self.fan_out(new, self.tried)
            new = []
        bar = progress(len(new), "evaluated", "sets of blocks")
        for removed in new:
            self.tried.add(removed, *self._measure(kept_after(removed, self.number)))
            bar.update()
        bar.close()
        return [Result(*self.tried[removed]) for removed in wanted]

    def _measure(self, kept: List[int]) -> Result:
        found = [self._judge(i, tuple(kept)) for i in range(len(self.batches))]
        errors, losses = map(sum, zip(*found))
        tokens = sum(batch.num_tokens for batch in self.batches)
        return Result(errors / tokens, losses / sum(len(b.refs) for b in self.batches))

    def _judge(self, i: int, kept: Tuple[int, ...]) -> Tuple[int, float]:
        """Return errors and loss of a batch, summed over its utterances."""
        batch = self.batches[i]
        state = self._state(batch, self.caches[i], self.limits[i], kept)
        hidden, lengths = self.runner.finish(state)
        return batch.errors(self.model.ctc, hidden, lengths)

    @torch.no_grad()
    def _state(
        self, batch: Batch, cache: Any, limit: int, kept: Tuple[int, ...]
    ) -> State:
        """Return the state after the blocks `kept`, from the longest known prefix."""
        if () not in cache:
            cache[()] = self.runner.start(lambda: encoded(self.model, batch.given))
        known = next(n for n in range(len(kept), -1, -1) if kept[:n] in cache)
        for n in range(known + 1):
            if kept[:n] in cache:
                cache.move_to_end(kept[:n])
        state = cache[kept[:known]]
        for n in range(known, len(kept)):
            state = cache[kept[: n + 1]] = self.runner.advance(state, kept[n])
        self.blocks_run += len(kept) - known
        self.blocks_naive += len(kept)
        held = sum(state.bytes() for state in cache.values())
        while held > limit and len(cache) > 1:
            # the oldest state goes; the input of the first block always stays
            oldest = next(key for key in cache if key)
            held -= cache.pop(oldest).bytes()
        return state
