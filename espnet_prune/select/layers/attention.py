# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Error rate of an attention decoder without some of its blocks.

It decodes greedily, token by token, by itself: no CTC and no language model helps. The
encoder runs once; a set of blocks costs the steps of what is left of the decoder.
"""

import hashlib
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from espnet_prune.data.speech import Entries
from espnet_prune.models import encoded
from espnet_prune.select.layers.dev_data import load_batches
from espnet_prune.select.layers.evaluator import Evaluator
from espnet_prune.select.layers.fan_out import FanOut
from espnet_prune.select.layers.tried import Tried
from espnet_prune.units.blocks import with_blocks
from espnet_prune.utils import PathLike, UserError, sha256

LOSSES = {"encoder": "ctc_loss", "decoder": "att_loss"}
_BLOCKS = "decoders"


class AttentionEvaluator(Evaluator):
    """Evaluates removal sets of a decoder; see `Evaluator`.

    A text may have twice as many tokens as its reference and 10 more: what says no end
    is wrong by then, and the last word on it would cost most of the time.
    """

    def _prepare(self, cache_bytes: int) -> None:
        self.memories: List[Optional[torch.Tensor]] = [None] * len(self.batches)
        self._room = cache_bytes

    @property
    def number(self) -> int:
        """Number of blocks."""
        return len(self.model.decoder.decoders)

    @torch.no_grad()
    def _judge(self, i: int, kept: Tuple[int, ...]) -> Tuple[int, float]:
        """Return errors and loss of a batch, summed over its utterances."""
        batch, model, memory = self.batches[i], self.model, self._memory(i)
        decoder = with_blocks(model.decoder, kept, _BLOCKS)
        limits = [2 * len(target) + 10 for target in batch.targets]
        found = greedy(decoder, memory, model.sos, model.eos, limits)
        steps = 1 + max(min(len(f) + 1, most) for f, most in zip(found, limits))
        self.blocks_run += steps * len(kept)
        self.blocks_naive += steps * len(kept) + self._encoder_blocks
        # as ESPnet does: id 0 is the blank of CTC
        heard = [batch.to_text([token for token in row if token]) for row in found]
        loss = forced_loss(decoder, memory, batch.targets, model.sos, model.eos)
        return batch.distance(heard), loss

    @property
    def _encoder_blocks(self) -> int:
        return len(getattr(self.model.encoder, "encoders", ()))

    def _memory(self, i: int) -> torch.Tensor:
        """Return the encoder output of a batch, (N, T, C); there is no padding."""
        kept = self.memories[i]
        if kept is not None:
            return kept
        batch = self.batches[i]
        memory = encoded(self.model, batch.given)[0]
        if isinstance(memory, tuple):  # beside the hidden states of intermediate CTC
            memory = memory[0]
        self.blocks_run += self._encoder_blocks
        size = memory.numel() * memory.element_size()
        if size <= self._room:
            self.memories[i], self._room = memory, self._room - size
        return memory


@torch.no_grad()
def greedy(
    decoder: nn.Module, memory: torch.Tensor, sos: int, eos: int, limits: Sequence[int]
) -> List[List[int]]:
    """Decode, taking the best token at every step.

    Args:
        decoder: A decoder that scores batches, in eval mode.
        memory: Encoder outputs without padding, (N, T, C).
        sos: Token that begins.
        eos: Token that ends.
        limits: Tokens of each utterance, at most.

    Returns:
        The tokens of each utterance, without `sos` and `eos`.
    """
    found: List[List[int]] = [[] for _ in memory]
    rows = list(range(len(memory)))  # those that go on
    ys = torch.full((len(rows), 1), sos, dtype=torch.long, device=memory.device)
    states: List[Any] = [None] * len(rows)
    while rows:
        scores, states = decoder.batch_score(ys, states, memory)
        best = scores.argmax(dim=-1)
        ys, going = torch.cat([ys, best[:, None]], dim=1), []
        for place, (row, token) in enumerate(zip(rows, best.tolist())):
            if token != eos:
                found[row].append(token)
                if len(found[row]) < limits[row]:
                    going.append(place)
        if len(going) < len(rows):
            ys, memory = ys[going], memory[going]
            rows, states = [rows[g] for g in going], [states[g] for g in going]
    return found


@torch.no_grad()
def forced_loss(
    decoder: nn.Module,
    memory: torch.Tensor,
    targets: Sequence[torch.Tensor],
    sos: int,
    eos: int,
) -> float:
    """Return the cross entropy of token sequences, summed, by teacher forcing.

    Args:
        decoder: The decoder, in eval mode.
        memory: Encoder outputs without padding, (N, T, C).
        targets: Token ids of each utterance.
        sos: Token that begins.
        eos: Token that ends.
    """
    pad = nn.utils.rnn.pad_sequence
    first, last = (memory.new_tensor([t], dtype=torch.long) for t in (sos, eos))
    given = pad([torch.cat([first, t]) for t in targets], True, eos)
    wanted = pad([torch.cat([t, last]) for t in targets], True, -1)
    frames = torch.full((len(memory),), memory.size(1), device=memory.device)
    lengths = torch.tensor([len(t) + 1 for t in targets], device=memory.device)
    scores = decoder(memory, frames, given, lengths)[0].transpose(1, 2)
    loss = nn.functional.cross_entropy(scores, wanted, ignore_index=-1, reduction="sum")
    return float(loss)


def make_evaluator(
    model: nn.Module,
    config: Mapping[str, Any],
    model_file: PathLike,
    table: PathLike,
    entries: Optional[Entries] = None,
    *,
    metric: str = "wer",
    max_utts: int = 320,
    cache_bytes: int = 2 << 30,
    fan_out: Optional[FanOut] = None,
    of: str = "encoder",
) -> Evaluator:
    """Return an Evaluator that resumes from a table of the same model and data.

    Args:
        model: The model.
        config: Its config.yaml.
        model_file: Its checkpoint; the table says whose results it holds.
        table: The TSV file of all sets tried.
        entries: See `load_batches`.
        metric: "wer" or "cer".
        max_utts: Utterances that judge.
        cache_bytes: Memory for hidden states.
        fan_out: Evaluates many sets elsewhere.
        of: Whose blocks: "encoder", judged by CTC, or "decoder".

    Raises:
        UserError: See `load_batches` and `Tried`, or there is no such decoder.
    """
    if of == "decoder" and not hasattr(getattr(model, "decoder", None), _BLOCKS):
        raise UserError(
            f"of: decoder: this model has no decoder with blocks, but "
            f"{config.get('decoder')}; search the encoder"
        )
    batches = load_batches(config, entries, metric=metric, max_utts=max_utts)
    # what they are and how they are judged; they run without padding
    rows = [row for batch in batches for row in zip(batch.ids, batch.refs)]
    digest = hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()
    about = f"model {sha256(model_file)}, unpadded utterances {digest}, {metric}"
    about += ", greedy attention decoder" * (of == "decoder")
    kind = AttentionEvaluator if of == "decoder" else Evaluator
    tried = Tried(table, about, LOSSES[of])
    return kind(model, batches, tried, cache_bytes, fan_out)
